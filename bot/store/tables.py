"""The tables. Instants are whole microseconds since 1970, UTC: exact, ordered and the same on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def kept(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def instant(kept: int) -> datetime:
    return _EPOCH + kept * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware datetime; comes back in UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return None if value is None else kept(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else instant(value)


# SQLite numbers rows by itself only in a column that is exactly INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")

# By code points, as SQLite does, whatever language a server sorts by.
Sorted = String().with_variant(String(collation="C"), "postgresql")

# Named, so that a later migration can say which constraint it means.
metadata = MetaData(naming_convention={
    "pk": "%(table_name)s_key", "fk": "%(table_name)s_%(column_0_name)s", "uq": "%(table_name)s_one_%(column_0_name)s"})

edition = Table(
    "edition", metadata,
    Column("digest", String(64), primary_key=True),
    Column("snapshot", Text, nullable=False),
)

cohort = Table(
    "cohort", metadata,
    Column("id", Number, primary_key=True),
    Column("title", String, nullable=False),
    Column("start", Date, nullable=False),
    Column("zone", String, nullable=False),
    Column("digest", ForeignKey(edition.c.digest), nullable=False),
    Column("platform", String, nullable=False),
    Column("workspace", String, nullable=False),
    Column("channel", String, nullable=False),
    Column("organiser_platform", String),
    Column("organiser_workspace", String),
    Column("organiser_user", String),
    Column("salt", String, nullable=False),
    Column("opened_at", Instant, nullable=False),
    # For how many steps the nudges have been derived.
    Column("nudges_owed", Integer, nullable=False, default=0),
    # When they must be derived next; NULL when they are for all.
    Column("opening", Instant),
    # Discord only: a thread below each week's post, and the role of those who graduate.
    Column("threads", Boolean, nullable=False, server_default=false()),
    Column("graduate_role", String, nullable=False, server_default=text("''")),
    UniqueConstraint("platform", "workspace", "channel", name="one_cohort_a_room"),
    Index("cohort_by_opening", "opening"),
    Index("cohort_by_organiser", "organiser_platform", "organiser_workspace", "organiser_user"),
)

room = Table(
    "room", metadata,
    # All the rooms of a cohort, the one where it was opened among them; one a platform.
    Column("id", Number, primary_key=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("platform", String, nullable=False),
    Column("workspace", String, nullable=False),
    Column("channel", String, nullable=False),
    UniqueConstraint("platform", "workspace", "channel", name="one_cohort_in_a_room"),
    UniqueConstraint("cohort", "platform", name="one_room_a_platform"),
)

member = Table(
    "member", metadata,
    Column("id", Number, primary_key=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("platform", String, nullable=False),
    Column("workspace", String, nullable=False),
    Column("user", String, nullable=False),
    Column("name", String, nullable=False),
    Column("name_folded", String, nullable=False),
    Column("alias", String, nullable=False),
    Column("alias_folded", String, nullable=False),
    Column("shows_name", Boolean, nullable=False),
    Column("zone", String, nullable=False),
    Column("nudges", Boolean, nullable=False),
    Column("present", Boolean, nullable=False),
    # What the journal adds up to; kept for the board.
    Column("points", Integer, nullable=False, default=0),
    # On the board: the folded name, or the folded alias.
    Column("shown", Sorted, nullable=False, server_default=text("''")),
    # Kept for the board, too, and good until then; NULL: until the journal grows.
    Column("streak", Integer, nullable=False, server_default=text("0")),
    Column("streak_until", Instant, server_default=text("0")),
    UniqueConstraint("cohort", "platform", "workspace", "user", name="one_enrolment_a_person"),
    UniqueConstraint("cohort", "name_folded", name="one_member_a_name"),
    UniqueConstraint("cohort", "alias_folded", name="one_member_an_alias"),
    Index("member_by_account", "platform", "workspace", "user"),
    # For those who go through a cohort: each page of it would sort all of them otherwise.
    Index("member_by_cohort", "cohort", "id"),
)
Index("member_on_board", member.c.cohort, member.c.present, member.c.points.desc(), member.c.shown)

total = Table(
    "total", metadata,
    # How many present members of a cohort have so many points, above none. Triggers keep it (migration 0006), so that
    # whoever writes a member writes this too. Several rows of one total are added up: on a server those who check in
    # at once would wait for each other at a single one.
    Column("cohort", ForeignKey(cohort.c.id), primary_key=True),
    Column("points", Integer, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("members", Integer, nullable=False),
)

linked_account = Table(
    "linked_account", metadata,
    # Further accounts of a member, on the other platforms of their cohort.
    Column("id", Number, primary_key=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("member", ForeignKey(member.c.id), nullable=False),
    Column("platform", String, nullable=False),
    Column("workspace", String, nullable=False),
    Column("user", String, nullable=False),
    UniqueConstraint("cohort", "platform", "workspace", "user", name="one_member_an_account"),
    Index("linked_account_by_account", "platform", "workspace", "user"),
)

code = Table(
    "code", metadata,
    # Handed out to be typed on another platform, once: to link a member's account, or (member NULL) a cohort's room.
    Column("digest", String, primary_key=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("member", ForeignKey(member.c.id)),
    Column("expires", Instant, nullable=False),
)

journal = Table(
    "journal", metadata,
    Column("seq", Number, primary_key=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("member", ForeignKey(member.c.id), nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", JSON, nullable=False),
    Column("request", String, nullable=False),
    UniqueConstraint("member", "request", name="one_effect_a_request"),
    Index("journal_by_cohort", "cohort"),
    sqlite_autoincrement=True,
)

delivery = Table(
    "delivery", metadata,
    Column("id", Number, primary_key=True),
    Column("key", String, nullable=False, unique=True),
    Column("cohort", ForeignKey(cohort.c.id), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("step", String),
    Column("member", ForeignKey(member.c.id)),
    # The lane it waits in: which chat, and whether to a person or to the room.
    Column("platform", String, nullable=False, server_default=text("'local'")),
    Column("private", Boolean, nullable=False, server_default=false()),
    Column("due", Instant, nullable=False),
    Column("latest", Instant, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    # When it may next be claimed: due, or tried again; NULL when it is settled.
    Column("claimable", Instant),
    Column("reason", String, nullable=False, default=""),
    Column("message", String),
    Column("link", String),
    Column("sent_at", Instant),
    Column("report", String),
    Index("delivery_by_lane", "platform", "private", "claimable"),
    Index("delivery_by_member", "member", "state"),
    Index("delivery_by_cohort", "cohort", "due"),
    Index("delivery_by_report", "report"),
)

sender = Table(
    "sender", metadata,
    # Which process sends for a platform: see `bot.ledger.Sender`.
    Column("platform", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)

direct_channel = Table(
    "direct_channel", metadata,
    # Where a person is written to in private: opening such a channel is what a platform rations most.
    Column("platform", String, primary_key=True),
    Column("workspace", String, primary_key=True),
    Column("user", String, primary_key=True),
    Column("channel", String, nullable=False),
)

slack_installation = Table(
    "slack_installation", metadata,
    # One row a workspace, or an enterprise for an app installed to all of it. Tokens are encrypted by who writes them.
    Column("team", String, primary_key=True),
    Column("enterprise", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("installed_at", Instant, nullable=False),
)

slack_state = Table(
    "slack_state", metadata,
    # Handed out when an installation begins, and taken back once when it ends.
    Column("digest", String, primary_key=True),
    Column("expires", Instant, nullable=False),
)

local_post = Table(
    "local_post", metadata,
    Column("id", Number, primary_key=True),
    # The local chat's own history: what a real platform keeps on its servers.
    Column("room", String, nullable=False),
    # NULL: everybody in the room sees it.
    Column("only_for", String),
    Column("author", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("key", String, unique=True),
    Column("html", Text, nullable=False),
    Index("local_post_by_room", "room", "id"),
    sqlite_autoincrement=True,
)
