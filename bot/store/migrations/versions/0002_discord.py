"""Lanes for deliveries, what a Discord cohort may want, and what a platform need not be asked twice."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cohort", sa.Column("threads", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("cohort", sa.Column("graduate_role", sa.String(), nullable=False, server_default=sa.text("''")))
    # All there were until now are of the local chat.
    op.add_column("delivery", sa.Column("platform", sa.String(), nullable=False, server_default=sa.text("'local'")))
    op.add_column("delivery", sa.Column("private", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE delivery SET private = (kind IN ('nudge', 'report'))")
    op.drop_index("delivery_by_claimable", "delivery")
    op.create_index("delivery_by_lane", "delivery", ["platform", "private", "claimable"], unique=False)
    op.create_table("direct_channel",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "workspace", "user", name="direct_channel_key")
    )
