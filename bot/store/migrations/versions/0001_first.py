"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table("edition",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("snapshot", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="edition_key")
    )
    op.create_table("local_post",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("room", sa.String(), nullable=False),
        sa.Column("only_for", sa.String(), nullable=True),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("html", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="local_post_key"),
        sa.UniqueConstraint("key", name="local_post_one_key"),
        sqlite_autoincrement=True
    )
    op.create_index("local_post_by_room", "local_post", ["room", "id"], unique=False)
    op.create_table("cohort",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("organiser_platform", sa.String(), nullable=True),
        sa.Column("organiser_workspace", sa.String(), nullable=True),
        sa.Column("organiser_user", sa.String(), nullable=True),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("nudges_owed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["edition.digest"], name="cohort_digest"),
        sa.PrimaryKeyConstraint("id", name="cohort_key"),
        sa.UniqueConstraint("platform", "workspace", "channel", name="one_cohort_a_room")
    )
    op.create_table("member",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_folded", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("alias_folded", sa.String(), nullable=False),
        sa.Column("shows_name", sa.Boolean(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("nudges", sa.Boolean(), nullable=False),
        sa.Column("present", sa.Boolean(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="member_cohort"),
        sa.PrimaryKeyConstraint("id", name="member_key"),
        sa.UniqueConstraint("cohort", "alias_folded", name="one_member_an_alias"),
        sa.UniqueConstraint("cohort", "name_folded", name="one_member_a_name"),
        sa.UniqueConstraint("cohort", "platform", "workspace", "user", name="one_enrolment_a_person")
    )
    op.create_index("member_by_account", "member", ["platform", "workspace", "user"], unique=False)
    op.create_index("member_by_points", "member", ["cohort", "present", "points"], unique=False)
    op.create_table("delivery",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("step", sa.String(), nullable=True),
        sa.Column("member", NUMBER, nullable=True),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("latest", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("claimable", sa.BigInteger(), nullable=True),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=True),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("report", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="delivery_cohort"),
        sa.ForeignKeyConstraint(["member"], ["member.id"], name="delivery_member"),
        sa.PrimaryKeyConstraint("id", name="delivery_key"),
        sa.UniqueConstraint("key", name="delivery_one_key")
    )
    op.create_index("delivery_by_claimable", "delivery", ["claimable"], unique=False)
    op.create_index("delivery_by_cohort", "delivery", ["cohort", "due"], unique=False)
    op.create_index("delivery_by_member", "delivery", ["member", "state"], unique=False)
    op.create_index("delivery_by_report", "delivery", ["report"], unique=False)
    op.create_table("journal",
        sa.Column("seq", NUMBER, nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("member", NUMBER, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="journal_cohort"),
        sa.ForeignKeyConstraint(["member"], ["member.id"], name="journal_member"),
        sa.PrimaryKeyConstraint("seq", name="journal_key"),
        sa.UniqueConstraint("member", "request", name="one_effect_a_request"),
        sqlite_autoincrement=True
    )
    op.create_index("journal_by_cohort", "journal", ["cohort"], unique=False)
