"""How many members have so many points, and an index in the order of the board."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# SQLite has one writer at a time, so one part will do.
SQLITE = (
    """CREATE TRIGGER total_of_new AFTER INSERT ON member WHEN NEW.present AND NEW.points > 0 BEGIN
        INSERT INTO total (cohort, points, part, members) VALUES (NEW.cohort, NEW.points, 0, 1)
        ON CONFLICT (cohort, points, part) DO UPDATE SET members = members + 1;
    END""",
    """CREATE TRIGGER total_of_old AFTER UPDATE OF present, points ON member
    WHEN OLD.present AND OLD.points > 0 AND (OLD.points <> NEW.points OR NOT NEW.present) BEGIN
        UPDATE total SET members = members - 1 WHERE cohort = OLD.cohort AND points = OLD.points AND part = 0;
    END""",
    """CREATE TRIGGER total_of_changed AFTER UPDATE OF present, points ON member
    WHEN NEW.present AND NEW.points > 0 AND (OLD.points <> NEW.points OR NOT OLD.present) BEGIN
        INSERT INTO total (cohort, points, part, members) VALUES (NEW.cohort, NEW.points, 0, 1)
        ON CONFLICT (cohort, points, part) DO UPDATE SET members = members + 1;
    END""",
)

# Two that change at once lock their totals in one order, and mostly in different parts.
POSTGRESQL = (
    """CREATE FUNCTION total_of_member() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO total (cohort, points, part, members)
        SELECT cohort, points, id % 8, change FROM (
            SELECT NEW.cohort, NEW.points, NEW.id, 1 WHERE NEW.present AND NEW.points > 0
            UNION ALL
            SELECT OLD.cohort, OLD.points, OLD.id, -1 WHERE TG_OP = 'UPDATE' AND OLD.present AND OLD.points > 0
        ) AS changes (cohort, points, id, change) ORDER BY points
        ON CONFLICT (cohort, points, part) DO UPDATE SET members = total.members + excluded.members;
        RETURN NULL;
    END $$""",
    """CREATE TRIGGER total_of_new AFTER INSERT ON member FOR EACH ROW WHEN (NEW.present AND NEW.points > 0)
    EXECUTE FUNCTION total_of_member()""",
    """CREATE TRIGGER total_of_changed AFTER UPDATE OF present, points ON member FOR EACH ROW
    WHEN (OLD.present <> NEW.present OR OLD.points <> NEW.points) EXECUTE FUNCTION total_of_member()""",
)


def upgrade() -> None:
    server = op.get_bind().dialect.name == "postgresql"
    op.add_column("member", sa.Column(
        "shown", sa.String().with_variant(sa.String(collation="C"), "postgresql"), nullable=False,
        server_default=sa.text("''")))
    op.execute("UPDATE member SET shown = CASE WHEN shows_name THEN name_folded ELSE alias_folded END")
    op.drop_index("member_by_points", "member")
    op.create_index("member_on_board", "member", ["cohort", "present", sa.text("points DESC"), "shown"], unique=False)
    op.create_table("total",
        sa.Column("cohort", NUMBER, nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cohort"], ["cohort.id"], name="total_cohort"),
        sa.PrimaryKeyConstraint("cohort", "points", "part", name="total_key")
    )
    op.execute("INSERT INTO total (cohort, points, part, members) SELECT cohort, points, 0, count(*) FROM member "
               "WHERE present AND points > 0 GROUP BY cohort, points")
    for statement in POSTGRESQL if server else SQLITE:
        op.execute(statement)
