"""What is due next in any number of cohorts is one look, and so is whose cohort somebody has opened."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cohort", sa.Column("opening", sa.BigInteger(), nullable=True))
    # The herald looks at each of them once, and then knows.
    op.execute("UPDATE cohort SET opening = 0")
    op.create_index("cohort_by_opening", "cohort", ["opening"])
    op.create_index("cohort_by_organiser", "cohort", ["organiser_platform", "organiser_workspace", "organiser_user"])
