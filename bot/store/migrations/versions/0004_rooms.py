"""A cohort may live in one room on each platform, and a member have an account on each."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table("room",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="room_cohort"),
        sa.PrimaryKeyConstraint("id", name="room_key"),
        sa.UniqueConstraint("cohort", "platform", name="one_room_a_platform"),
        sa.UniqueConstraint("platform", "workspace", "channel", name="one_cohort_in_a_room")
    )
    op.execute("INSERT INTO room (cohort, platform, workspace, channel) "
               "SELECT id, platform, workspace, channel FROM cohort ORDER BY id")
    op.create_table("linked_account",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("member", NUMBER, nullable=False),
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="linked_account_cohort"),
        sa.ForeignKeyConstraint(["member"], ["member.id"], name="linked_account_member"),
        sa.PrimaryKeyConstraint("id", name="linked_account_key"),
        sa.UniqueConstraint("cohort", "platform", "workspace", "user", name="one_member_an_account")
    )
    op.create_index("linked_account_by_account", "linked_account", ["platform", "workspace", "user"], unique=False)
    op.create_table("code",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("member", NUMBER, nullable=True),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="code_cohort"),
        sa.ForeignKeyConstraint(["member"], ["member.id"], name="code_member"),
        sa.PrimaryKeyConstraint("digest", name="code_key")
    )
