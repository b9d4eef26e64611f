"""Members are gone through some hundreds at a time, in the order of their ids, without a look at all the others."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("member_by_cohort", "member", ["cohort", "id"])
