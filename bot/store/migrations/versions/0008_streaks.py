"""Streaks are kept for the board, as the points are. Those of old rows are worked out until something happens."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member", sa.Column("streak", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("member", sa.Column("streak_until", sa.BigInteger(), nullable=True, server_default=sa.text("0")))
