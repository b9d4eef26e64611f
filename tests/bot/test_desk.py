"""The desk, in the words of those who stand before it. The guide is a small one whose sentences name their figures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

import bot
from bot import commands
from bot.cohort.journal import CheckedIn, Event, Granted, Joined, Left, Rested, Seq, Voided
from bot.cohort.refusals import Refused, StartsTooEarly
from bot.cohort.scoring import Rule
from bot.desk import Caller, Desk, correct, open_cohort, record_of, refusal
from bot.herald import Herald, posts
from bot.ledger import Account, Cohort, Lane, Receipt, RequestId, Room, RoomTaken, State, Transaction, Unsaved
from bot.messages import (
    Board,
    Checks,
    Choice,
    DeliveryKey,
    Facts,
    Form,
    Line,
    Markdown,
    Message,
    Paragraph,
    Part,
    Piece,
    Plain,
    Tasks,
)
from bot.store.database import Database
from bot.store.ledger import StoredLedger
from content.edition import Edition
from content.model import Commands, Fills, JoinForm, OpenForm, Refusals, Voice, Words
from scheduler.calendar import UnknownZone
from scheduler.clock import VirtualClock
from tests.bot.build import OPENED, ORGANISER, ROOM, START, WEEK_1, account, caller, edition, guide, read

T = TypeVar("T")

WEEK = timedelta(days=7)
DEADLINE = datetime(2027, 1, 11, 11, tzinfo=UTC)
"""Of week 1 in Berlin: the end of its Sunday, and twelve hours."""
ALL_OF_IT: dict[str, Any] = {"tasks": ("read", "build-index"), "hours": "6,5", "evidence": "https://a.example/x",
                             "notes": "It works.", "confidence": "Sure"}


@dataclass
class House:
    """A cohort and its desk; people say things at the clock's present instant."""

    desk: Desk
    ledger: StoredLedger
    clock: VirtualClock
    cohort: Cohort
    requests: int = 0

    async def command(self, who: str | Caller, line: str, request: str = "") -> Message | Form:
        self.requests += 1
        return await self.desk.command(caller(who) if isinstance(who, str) else who, line,
                                       RequestId(request or f"request {self.requests}"), self.clock.now())

    async def says(self, who: str | Caller, line: str, request: str = "") -> Message:
        answer = await self.command(who, line, request)
        assert isinstance(answer, Message)
        return answer

    async def reads(self, who: str | Caller, line: str) -> str:
        return read(await self.says(who, line))

    async def opens(self, who: str | Caller, line: str) -> Form:
        answer = await self.command(who, line)
        assert isinstance(answer, Form)
        return answer

    async def sends(self, who: str | Caller, kind: str, about: str = "", request: str = "",
                    **answers: str | tuple[str, ...]) -> Message:
        """A request of its own where none is given."""
        self.requests += 1
        return await self.desk.submit(
            caller(who) if isinstance(who, str) else who, kind, about,
            {name: (value,) if isinstance(value, str) else value for name, value in answers.items()},
            RequestId(request or f"request {self.requests}"), self.clock.now())

    async def joins(self, who: str | Caller, request: str = "", **answers: str) -> Message:
        user = who if isinstance(who, str) else who.account.user
        usual = {"name": user.capitalize(), "shown": "name", "zone": "Europe/Berlin", "nudges": "yes"}
        return await self.sends(who, "join", request=request, **usual | answers)

    async def sets(self, who: str, request: str = "", **answers: str) -> Message:
        usual = {"name": who.capitalize(), "shown": "name", "zone": "Europe/Berlin", "nudges": "yes"}
        return await self.sends(who, "settings", request=request, **usual | answers)

    async def checks_in(self, who: str, week: int = 1, request: str = "", **answers: str | tuple[str, ...]) -> Message:
        return await self.sends(who, "check-in", f"week-{week}", request, **answers)

    async def journal(self, who: str) -> list[Event]:
        member = await self.ledger.transact(lambda tx: tx.enrolment(self.cohort.id, account(who)))
        assert member is not None
        return [entry.event for entry in await self.ledger.transact(lambda tx: tx.journal(member.id))]

    async def kinds(self, who: str) -> list[type[Event]]:
        return [type(event) for event in await self.journal(who)]

    async def nudges(self) -> dict[str, State]:
        """By member and step: what becomes of them."""
        logged = await self.ledger.transact(lambda tx: tx.deliveries(self.cohort.id))
        return {f"{one.delivery.member} {one.delivery.step}": one.state for one in logged if one.delivery.member}


@pytest.fixture
def house(ledger: StoredLedger, clock: VirtualClock, cohort: Cohort) -> House:
    """On the Tuesday of week 1."""
    clock.reach(WEEK_1)
    return House(Desk(ledger, guide()), ledger, clock, cohort)


def value(form: Form, name: str) -> str | list[str]:
    """What the form is filled in with."""
    (field,) = (field for field in form.fields if field.name == name)
    if isinstance(field, Line | Paragraph):
        return field.value
    return [option.value for option in field.options if option.chosen]


def refused(message: Message) -> tuple[str, str | None]:
    assert message.refused
    return read(message), message.field


# --- opening ----------------------------------------------------------------------------------------------------------


async def test_a_cohort_opens_today_or_later_in_a_room_and_a_zone_of_its_own(ledger: StoredLedger) -> None:
    async def opened(start: date = START, zone: str = "berlin", room: Room = ROOM) -> Cohort:
        return await open_cohort(ledger, "Ninety & co", start, zone, edition(), room, ORGANISER, "salt", OPENED)

    with pytest.raises(StartsTooEarly, match=r"2026-12-31"):
        await opened(date(2026, 12, 31))
    with pytest.raises(UnknownZone):
        await opened(zone="Atlantis")
    cohort = await opened()
    assert cohort.zone == "Europe/Berlin"
    kinds = [one.delivery.kind.value for one in await ledger.transact(lambda tx: tx.deliveries(cohort.id))]
    assert sorted(kinds) == ["graduation", "half_time", *["week_closes"] * 4, *["week_opens"] * 4, "welcome"]
    with pytest.raises(RoomTaken):
        await opened()


# --- coming -----------------------------------------------------------------------------------------------------------


async def test_the_form_to_join_is_filled_in_with_what_is_known(house: House) -> None:
    form = await house.opens(caller("ada", zone="Asia/Tokyo"), "/cohort join")
    assert (form.kind, form.title) == ("join", "Title")
    assert [value(form, name) for name in ("name", "shown", "zone", "nudges")] == [
        "Ada", ["alias"], "Asia/Tokyo", ["yes"]]
    assert value(await house.opens(caller("ada", zone=""), "cohort join"), "zone") == "Europe/Berlin"


async def test_who_joins_reads_where_they_are_and_what_to_do(house: House) -> None:
    answer = await house.joins("ada")
    assert read(answer).splitlines()[0] == "Joined Ada Ada Ninety & co 1 Find things Monday 11 January 2027, 12:00"
    assert [button.label for button in answer.buttons] == ["Check in"]
    assert await house.journal("ada") == [Joined(WEEK_1, "Europe/Berlin", "week-1")]


async def test_who_joins_before_the_start_reads_when_it_is(house: House, ledger: StoredLedger) -> None:
    early = House(house.desk, ledger, VirtualClock(OPENED), house.cohort)
    answer = await early.joins("ada")
    assert read(answer) == "Joined early Ada Ada Ninety & co Monday 4 January 2027, 09:00"
    assert await early.journal("ada") == [Joined(OPENED, "Europe/Berlin", "week-1")]
    assert refused(await early.says("ada", "checkin")) == ("Not started Monday 4 January 2027, 09:00", None)
    assert refused(await early.says("bo", "week")) == ("Not started Monday 4 January 2027, 09:00", None)
    assert "Progress Ada 0 0 0 0 0 1" in await early.reads("ada", "progress")


async def test_the_board_shows_an_alias_to_who_wants_one(house: House) -> None:
    """The same at every look, and nothing of the name in it."""
    words = read(await house.joins("ada", shown="alias")).splitlines()[0].split()
    alias = " ".join(words[2:4])
    privacy = house.cohort.edition.rules.privacy
    assert (words[2] in privacy.aliases_adjectives, words[3] in privacy.aliases_nouns) == (True, True)
    assert f"Ada {alias} Europe/Berlin" in read(await house.sets("ada", shown="alias"))


async def test_a_city_is_zone_enough(house: House) -> None:
    assert "Monday 11 January 2027, 12:00" in read(await house.joins("ada", zone=" new  YORK "))
    assert value(await house.opens("ada", "cohort settings"), "zone") == "America/New_York"


@pytest.mark.parametrize(("answers", "sentence", "field"), [
    ({"zone": "Europe/Berln"}, "Unknown zone Europe/Berln Europe/Berlin", "zone"),
    ({"zone": "../../etc/passwd"}, "Unknown zone ../../etc/passwd", "zone"),
    ({"zone": ""}, "Unknown zone  Europe/Berlin", "zone"),
    ({"zone": "x" * 100_000}, f"Unknown zone {'x' * 40} Europe/Berlin", "zone"),
    ({"name": ""}, "No name", "name"),
    ({"name": "\u200b\u202e \n"}, "No name", "name"),
    ({"name": "n" * 100_000}, "Name too long 100000 32", "name"),
    ({"name": "BO"}, "Name taken BO", "name"),
    ({"name": "{bo_alias}"}, "Name taken", "name"),
])
async def test_what_cannot_be_is_refused_at_its_field(house: House, answers: dict[str, str], sentence: str,
                                                      field: str) -> None:
    await house.joins("bo", name="Bo", shown="name")
    form = await house.sets("bo", name="Bo", shown="alias")
    alias = " ".join(read(form).split()[3:5])
    answers = {name: words.replace("{bo_alias}", alias) for name, words in answers.items()}
    words, where = refused(await house.joins("ada", **answers))
    assert words.startswith(sentence)
    assert where == field
    assert refused(await house.says("ada", "progress")) == ("Not enrolled", None), "and nobody has joined"


async def test_nobody_joins_twice(house: House) -> None:
    await house.joins("ada")
    assert refused(await house.says("ada", "cohort join")) == ("Already enrolled", None)
    assert refused(await house.joins("ada")) == ("Already enrolled", None)
    assert await house.kinds("ada") == [Joined]


async def test_the_same_request_to_join_is_one_effect_and_one_answer(house: House) -> None:
    first = await house.joins("ada", request="r")
    assert await house.joins("ada", request="r") == first
    assert await house.kinds("ada") == [Joined]
    await house.says("ada", "cohort leave")
    assert await house.joins("ada", request="r") == first
    assert refused(await house.says("ada", "progress")) == ("Not enrolled", None), "it does not bring them back"
    assert await house.kinds("ada") == [Joined, Left]


async def test_who_joins_late_starts_with_the_week_that_is_running(house: House) -> None:
    house.clock.reach(WEEK_1 + 2 * WEEK)
    assert " 3 Ship things Monday 25 January 2027, 12:00" in read(await house.joins("ada"))
    assert refused(await house.says("ada", "checkin 2")) == ("Before you joined Measure things Ship things", None)
    assert refused(await house.checks_in("ada", 1)) == ("Before you joined Find things Ship things", None)
    assert refused(await house.says("ada", "cohort rest 1")) == ("Before you joined Find things Ship things", None)
    assert "- 3 Ship things: Open" in await house.reads("ada", "progress")
    assert "Find things" not in await house.reads("ada", "progress")


async def test_who_joins_when_the_week_is_over_where_they_live_starts_with_the_next(house: House) -> None:
    """Sunday evening in Berlin is Monday noon in Kiritimati, where the deadline of week 1 has passed."""
    house.clock.reach(datetime(2027, 1, 10, 22, 30, tzinfo=UTC))
    assert read(await house.joins("ada", zone="Pacific/Kiritimati")).startswith("Joined early")
    house.clock.reach(WEEK_1 + WEEK)
    assert "- 2 Measure things: Open" in await house.reads("ada", "progress")
    assert "Find things" not in await house.reads("ada", "progress")


async def test_nobody_joins_when_it_is_over(house: House) -> None:
    house.clock.reach(datetime(2027, 1, 31, 23, tzinfo=UTC))
    assert refused(await house.says("ada", "cohort join")) == ("Cohort over", None)
    assert refused(await house.joins("ada")) == ("Cohort over", None)


# --- checking in ------------------------------------------------------------------------------------------------------


async def test_a_check_in_says_what_it_is_worth_and_what_comes_next(house: House) -> None:
    await house.joins("ada")
    answer = await house.checks_in("ada", **ALL_OF_IT)
    assert read(answer).splitlines() == [
        "Checked in 1 Find things 23 23 1",
        "- Checked in 10: +10",
        "- Must tasks 1 5: +5",
        "- Stretch tasks 1 3: +3",
        "- Evidence 5: +5",
        "Next step 2 Measure things Monday 11 January 2027, 09:00",
        "[My progress] [Board]",
    ]
    assert (await house.journal("ada"))[1:] == [CheckedIn(
        WEEK_1, "week-1", ("read", "build-index"), 6.5, ("https://a.example/x",), "It works.", "Sure")]


async def test_nothing_at_all_is_a_check_in_too(house: House) -> None:
    await house.joins("ada")
    assert "Checked in 1 Find things 10 10 1" in read(await house.checks_in("ada"))


async def test_the_form_is_filled_in_with_what_was_sent_last(house: House) -> None:
    await house.joins("ada")
    form = await house.opens("ada", "checkin")
    assert (form.kind, form.about, form.title) == ("check-in", "week-1", "Check in 1")
    fields = ("tasks", "hours", "evidence", "notes", "confidence")
    assert [value(form, name) for name in fields] == [[], "", "", "", []]
    await house.checks_in("ada", **ALL_OF_IT | {"evidence": "https://a.example/x  http://b.example"})
    again = await house.opens("ada", "checkin week 1")
    assert [value(again, name) for name in fields] == [
        ["read", "build-index"], "6.5", "https://a.example/x\nhttp://b.example", "It works.", ["Sure"]]
    assert isinstance(again.fields[0], Checks)
    assert isinstance(again.fields[4], Choice)


async def test_what_one_member_sent_stands_in_nobody_elses_form(house: House) -> None:
    await house.joins("ada")
    await house.joins("bo")
    blank = await house.opens("bo", "checkin 1")
    await house.checks_in("ada", **ALL_OF_IT)
    assert (await house.opens("ada", "checkin 1")).fields != blank.fields
    assert await house.opens("bo", "checkin 1") == blank
    house.clock.reach(WEEK_1 + WEEK)
    assert value(await house.opens("bo", "checkin 2"), "tasks") == []
    assert (await house.opens("bo", "checkin 2")).fields != blank.fields, "other tasks"


async def test_what_was_undone_is_in_no_journal_that_is_read_later(house: House) -> None:
    """SQLite gives the number of an entry that was undone to the next one."""
    await house.joins("ada")
    seen: list[type[Event]] = []

    def undone(tx: Transaction) -> None:
        member = tx.enrolment(house.cohort.id, account("ada"))
        assert member is not None
        tx.append(member, Rested(house.clock.now(), "week-1"), RequestId("once"))
        seen.extend(type(entry.event) for entry in tx.journal(member.id))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await house.ledger.transact(undone)
    assert seen == [Joined, Rested]
    assert await house.kinds("ada") == [Joined]
    await house.checks_in("ada", request="once", tasks="read")
    assert await house.kinds("ada") == [Joined, CheckedIn]


async def test_a_second_check_in_amends_the_first_and_says_so(house: House) -> None:
    await house.joins("ada")
    await house.checks_in("ada", tasks="read")
    house.clock.reach(WEEK_1 + timedelta(days=1))
    assert read(await house.checks_in("ada", tasks=("read", "build-index"))).splitlines()[0] == \
        "Amended 1 Find things 18 18 1 Tuesday 5 January 2027, 13:00"
    assert "Amended 1 Find things 10 10 1 Wednesday 6 January 2027, 13:00" in read(await house.checks_in("ada"))
    assert await house.kinds("ada") == [Joined, CheckedIn, CheckedIn, CheckedIn]


async def test_two_tabs_at_once_are_a_check_in_and_its_amendment(house: House) -> None:
    """Both are in the journal; the later one counts."""
    await house.joins("ada")
    assert read(await house.checks_in("ada", request="tab 1", tasks="read")).startswith("Checked in 1")
    assert read(await house.checks_in("ada", request="tab 2", tasks="build-index")).startswith("Amended 1")
    assert [event.done for event in await house.journal("ada") if isinstance(event, CheckedIn)] == [
        ("read",), ("build-index",)]
    assert value(await house.opens("ada", "checkin 1"), "tasks") == ["build-index"]


async def test_the_same_check_in_twice_is_one_effect_and_one_answer(house: House) -> None:
    """Also when something else was sent between the two: an answer that was lost on the way is the one given again."""
    await house.joins("ada")
    first = await house.checks_in("ada", request="a", tasks="read")
    assert await house.checks_in("ada", request="a", tasks="read") == first
    amended = await house.checks_in("ada", request="b", **ALL_OF_IT)
    assert await house.checks_in("ada", request="b", **ALL_OF_IT) == amended
    assert await house.checks_in("ada", request="a", tasks="read") == first
    assert await house.kinds("ada") == [Joined, CheckedIn, CheckedIn]
    assert "Progress Ada 23 " in await house.reads("ada", "progress")


async def test_the_same_check_in_is_answered_after_its_week_has_closed(house: House) -> None:
    await house.joins("ada")
    await house.checks_in("ada", request="a")
    house.clock.reach(DEADLINE + timedelta(days=15))
    assert read(await house.checks_in("ada", request="a")).startswith("Checked in 1")


async def test_what_comes_after_the_deadline_counts_half(house: House) -> None:
    await house.joins("ada")
    house.clock.reach(DEADLINE - timedelta(microseconds=1))
    assert "Form in time 1 Find things Monday 11 January 2027, 12:00" in read(
        Message(body=((await house.opens("ada", "checkin 1")).intro,)))
    house.clock.reach(DEADLINE)
    assert "Form late 1 Find things 50" in read(Message(body=((await house.opens("ada", "checkin 1")).intro,)))
    answer = read(await house.checks_in("ada", **ALL_OF_IT))
    assert answer.startswith("Checked in late 1 Find things 11 11 0 50")
    assert "- Late 50: \u221212" in answer


async def test_a_week_closes_for_good(house: House) -> None:
    await house.joins("ada")
    form = await house.opens("ada", "checkin 1")
    house.clock.reach(DEADLINE + timedelta(days=14))
    late = ("Too late Find things Monday 25 January 2027, 12:00", None)
    assert refused(await house.checks_in("ada")) == late
    assert refused(await house.sends("ada", form.kind, form.about)) == late, "a form that stayed open is no way in"
    assert refused(await house.says("ada", "checkin 1")) == late
    assert await house.kinds("ada") == [Joined]


@pytest.mark.parametrize(("answers", "sentence", "field"), [
    ({"notes": "x" * 100_000}, "Too long Notes 100000 1000", "notes"),
    ({"evidence": "x" * 100_000}, f"Bad link {'x' * 60}", "evidence"),
    ({"evidence": "javascript:alert(1)"}, "Bad link javascript:alert(1)", "evidence"),
    ({"evidence": "http://a http://b http://c http://d http://e http://f"}, "Too many links 6 5", "evidence"),
    ({"hours": "a lot"}, "Bad hours a lot 100", "hours"),
    ({"hours": "101"}, "Bad hours 101 100", "hours"),
    ({"hours": "-1"}, "Bad hours -1 100", "hours"),
    ({"hours": "9" * 100_000}, f"Bad hours {'9' * 40} 100", "hours"),
    ({"confidence": "Supreme"}, "Unknown choice Supreme", "confidence"),
    ({"tasks": "golden-set"}, "Unknown task", "tasks"),
])
async def test_an_answer_that_cannot_be_is_refused_at_its_field(
        house: House, answers: dict[str, Any], sentence: str, field: str) -> None:
    """And nothing is written, so that it can be sent again."""
    await house.joins("ada")
    assert refused(await house.checks_in("ada", request="r", **answers)) == (sentence, field)
    assert await house.kinds("ada") == [Joined]
    assert not (await house.checks_in("ada", request="r", **ALL_OF_IT)).refused


@pytest.mark.parametrize(("about", "sentence"), [
    ("week-2", "Not open yet Measure things Monday 11 January 2027, 09:00"),
    ("week-9", "Unknown step week-9 4"), ("", "Unknown step  4"), ("0", "Unknown step 0 4"),
    ("\u00b9", "Unknown step \u00b9 4"), ("9" * 5000, f"Unknown step {'9' * 40} 4"),
    ("'; drop table member; --", "Unknown step '; drop table member; -- 4"),
])
async def test_a_form_about_another_step_is_refused(house: House, about: str, sentence: str) -> None:
    await house.joins("ada")
    assert refused(await house.sends("ada", "check-in", about)) == (sentence, None)
    assert refused(await house.says("ada", f"checkin {about or 'x'}"))
    assert await house.kinds("ada") == [Joined]


async def test_fields_that_no_form_has_change_nothing(house: House) -> None:
    await house.joins("ada", points="1000", present="no", user="bo", account="bo")
    assert "Progress Ada 0 " in await house.reads("ada", "progress")
    await house.checks_in("ada", points="1000", at="2020-01-01", step="week-2", member="2")
    assert "Progress Ada 10 " in await house.reads("ada", "progress")


async def test_what_is_no_option_shows_and_sends_less(house: House) -> None:
    """A form that somebody made themselves: no name on the board and no message that nobody asked for."""
    for forged in ("", "NAME", "true", "x" * 100_000):
        await (house.joins if forged == "" else house.sets)("ada", shown=forged, nudges=forged)
        form = await house.opens("ada", "cohort settings")
        assert (value(form, "shown"), value(form, "nudges")) == (["alias"], ["no"])


async def test_a_form_that_nobody_made_is_a_bug_of_the_shell(house: House) -> None:
    with pytest.raises(KeyError):
        await house.sends("ada", "grant", points="1000")


# --- resting, leaving, changing one's mind ----------------------------------------------------------------------------


async def test_a_rest_keeps_the_streak_and_there_are_only_so_many(house: House) -> None:
    await house.joins("ada")
    await house.checks_in("ada")
    house.clock.reach(WEEK_1 + WEEK)
    assert await house.reads("ada", "cohort rest") == (
        "Rested 2 Measure things 0\nNext step 3 Ship things Monday 18 January 2027, 09:00")
    assert refused(await house.says("ada", "cohort rest")) == ("Already resting Measure things", None)
    house.clock.reach(WEEK_1 + 2 * WEEK)
    assert refused(await house.says("ada", "cohort rest")) == ("No rest left 1", None)
    await house.checks_in("ada", 3)
    assert refused(await house.says("ada", "cohort rest")) == ("Nothing to rest Ship things", None)
    assert "Progress Ada 20 2 2 2 2 0" in await house.reads("ada", "progress")


async def test_a_check_in_after_all_gives_the_rest_back(house: House) -> None:
    await house.joins("ada")
    await house.says("ada", "cohort rest")
    await house.checks_in("ada")
    house.clock.reach(WEEK_1 + WEEK)
    assert (await house.reads("ada", "cohort rest 2")).startswith("Rested 2 Measure things 0")


async def test_a_rest_can_be_taken_ahead_of_a_holiday(house: House) -> None:
    await house.joins("ada")
    assert await house.reads("ada", "cohort rest 3") == (
        "Rested 3 Ship things 0\nOwing 1 Find things Monday 11 January 2027, 12:00")
    await house.checks_in("ada")
    house.clock.reach(WEEK_1 + 2 * WEEK)
    assert refused(await house.says("ada", "cohort rest")) == ("Already resting Ship things", None)


async def test_nobody_rests_in_a_week_that_is_not_there(house: House) -> None:
    await house.joins("ada")
    assert refused(await house.says("ada", "cohort rest 9")) == ("Unknown step 9 4", None)


async def test_two_rests_at_one_instant_are_two(house: House, ledger: StoredLedger) -> None:
    """While a demo's clock stands still, and two weeks are open at once."""
    rules = edition().rules
    two = edition().model_copy(update={"rules": rules.model_copy(update={
        "scoring": rules.scoring.model_copy(update={"rest_steps": 2})})})
    room = replace(ROOM, channel="another")
    cohort = await open_cohort(ledger, "Two", START, "UTC", two, room, None, "salt", OPENED)
    ada = caller("ada", room=room)
    other = House(house.desk, ledger, house.clock, cohort)
    await other.joins(ada)
    house.clock.reach(DEADLINE - timedelta(hours=1))
    assert (await other.reads(ada, "cohort rest 1")).startswith("Rested 1 Find things 1")
    assert (await other.reads(ada, "cohort rest 2")).startswith("Rested 2 Measure things 0")
    assert await other.kinds("ada") == [Joined, Rested, Rested]


async def test_who_leaves_is_gone_and_may_come_back_with_what_they_did(house: House) -> None:
    await house.joins("ada", shown="alias")
    await house.checks_in("ada", **ALL_OF_IT)
    before = await house.opens("ada", "cohort settings")
    assert (await house.reads("ada", "cohort leave")) == "Left Ninety & co\n[Join]"
    for line in ("progress", "checkin", "cohort leave", "cohort settings", "cohort rest"):
        assert refused(await house.says("ada", line)) == ("Not enrolled", None)
    assert refused(await house.checks_in("ada")) == ("Not enrolled", None)
    assert refused(await house.sets("ada")) == ("Not enrolled", None)
    house.clock.reach(WEEK_1 + 2 * WEEK)
    form = await house.opens("ada", "cohort join")
    assert form.fields == before.fields
    assert " 3 Ship things " in read(await house.joins("ada", shown="alias"))
    assert await house.kinds("ada") == [Joined, CheckedIn, Left, Joined]
    progress = await house.says("ada", "progress")
    assert "Progress Ada 23 " in read(progress)
    assert total(progress) == 23, "what counts is listed, though it was before they came back"


async def test_coming_and_going_at_one_instant_stays_in_order(house: House) -> None:
    await house.joins("ada")
    await house.says("ada", "cohort leave")
    await house.joins("ada")
    await house.says("ada", "cohort leave")
    assert await house.kinds("ada") == [Joined, Left, Joined, Left]


async def test_another_zone_counts_from_the_next_week_and_says_so(house: House) -> None:
    await house.joins("ada")
    later = "Zone later Europe/Berlin Find things"
    assert read(await house.sets("ada", zone="honolulu")).splitlines() == [
        "Settings saved Ada Ada Pacific/Honolulu", later]
    assert "Monday 11 January 2027, 01:00" in await house.reads("ada", "week 1"), "Berlin's, on Honolulu's clock"
    assert later not in read(await house.sets("ada")), "back before it counted"
    assert later in read(await house.sets("ada", zone="Pacific/Honolulu"))
    house.clock.reach(WEEK_1 + WEEK)
    assert later not in read(await house.sets("ada", zone="Pacific/Honolulu"))
    assert "Monday 18 January 2027, 12:00" in await house.reads("ada", "week 2")


async def test_the_same_settings_twice_are_one_effect_and_one_answer(house: House) -> None:
    await house.joins("ada")
    first = await house.sets("ada", request="a", zone="tokyo")
    events = await house.journal("ada")
    assert await house.sets("ada", request="a", zone="tokyo") == first
    await house.sets("ada", request="b", zone="lisbon")
    assert not (await house.sets("ada", request="a", zone="tokyo")).refused
    assert value(await house.opens("ada", "cohort settings"), "zone") == "Europe/Lisbon"
    assert len(await house.journal("ada")) == len(events) + 1


async def test_settings_are_refused_at_their_field(house: House) -> None:
    await house.joins("ada")
    await house.joins("bo")
    assert refused(await house.sets("ada", name="bo")) == ("Name taken bo", "name")
    assert refused(await house.sets("ada", zone="Atlantis"))[1] == "zone"
    assert not (await house.sets("ada", name="ADA")).refused, "one's own name in another case is free"


# --- reminders --------------------------------------------------------------------------------------------------------


class Chat:
    """Keeps what was posted."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.posted: list[tuple[Room | Account, str]] = []

    async def ready(self, to: Room | Account) -> None:
        """At once."""

    async def post(self, to: Room | Account, message: Message, key: DeliveryKey) -> Receipt:
        self.posted.append((to, read(message)))
        return Receipt(str(len(self.posted)), "", self.clock.now())

    async def find(self, to: Room | Account, key: DeliveryKey, since: datetime) -> Receipt | None:
        return None

    async def award(self, to: Account, room: Room, role: str) -> None:
        raise NotImplementedError

    def said(self, to: Room | Account) -> list[str]:
        return [text for who, text in self.posted if who == to]


async def tick(house: House) -> Chat:
    """Everything that is due by now is sent."""
    chat = Chat(house.clock)
    await Herald(house.ledger, {"local": chat}, house.clock).tick(house.clock.now())
    return chat


SUNDAY = datetime(2027, 1, 10, 17, tzinfo=UTC)
"""18:00 in Berlin, when week 1's reminders are due."""


async def test_who_has_not_checked_in_is_reminded_once(house: House) -> None:
    await tick(house)
    for user in ("ada", "bo", "chidi", "dana"):
        await house.joins(user, nudges="no" if user == "dana" else "yes")
    await house.checks_in("ada")
    await house.says("bo", "cohort rest")
    assert await house.nudges() == {"1 week-1": State.WITHDRAWN, "2 week-1": State.WITHDRAWN, "3 week-1": State.OWED}
    house.clock.reach(SUNDAY)
    chat = await tick(house)
    assert {user: chat.said(account(user)) for user in ("ada", "bo", "dana")} == {"ada": [], "bo": [], "dana": []}
    (nudge,) = chat.said(account("chidi"))
    assert nudge.startswith("Nudge Chidi 1 Find things Monday 11 January 2027, 12:00")


async def test_reminders_can_be_switched_off_and_on_again(house: House) -> None:
    await tick(house)
    await house.joins("ada")
    await house.joins("bo")
    await house.sets("ada", nudges="no")
    await house.sets("bo", nudges="no")
    assert await house.nudges() == {"1 week-1": State.WITHDRAWN, "2 week-1": State.WITHDRAWN}
    await house.sets("ada", nudges="yes")
    house.clock.reach(SUNDAY)
    chat = await tick(house)
    assert (len(chat.said(account("ada"))), len(chat.said(account("bo")))) == (1, 0)
    await house.sets("ada", nudges="yes")
    assert (await tick(house)).posted == []


async def test_who_leaves_is_reminded_of_nothing_until_they_are_back(house: House) -> None:
    await tick(house)
    await house.joins("ada")
    await house.joins("bo")
    await house.says("ada", "cohort leave")
    await house.says("bo", "cohort leave")
    assert set((await house.nudges()).values()) == {State.WITHDRAWN}
    await house.joins("bo")
    house.clock.reach(SUNDAY)
    chat = await tick(house)
    assert (len(chat.said(account("ada"))), len(chat.said(account("bo")))) == (0, 1)


# --- corrections ------------------------------------------------------------------------------------------------------


async def test_a_correction_is_a_new_event_that_the_member_reads(house: House) -> None:
    """A counter that somebody edited cannot be explained; a journal can."""
    await house.joins("ada")
    await house.checks_in("ada")
    now = house.clock.now()
    before = (await record_of(house.ledger, house.cohort.id, "ada", now)).points
    record = await correct(house.ledger, house.cohort.id, "ada", Granted(now, 7, "gave a talk", "olu"), now)
    assert record.points == before + 7
    checked_in = record.journal[1].seq
    assert (await correct(house.ledger, house.cohort.id, "ada", Voided(now, checked_in, "by mistake", "olu"), now)
            ).points == 7
    assert await house.kinds("ada") == [Joined, CheckedIn, Granted, Voided]
    assert "gave a talk" in await house.reads("ada", "progress")
    member = await house.ledger.transact(lambda tx: tx.enrolment(house.cohort.id, account("ada")))
    assert member is not None
    assert member.points == 7


async def test_nothing_is_corrected_that_is_not_there(house: House) -> None:
    await house.joins("ada")
    now = house.clock.now()
    with pytest.raises(LookupError, match="the journal of ada has no entry 99"):
        await correct(house.ledger, house.cohort.id, "ada", Voided(now, Seq(99), "", "olu"), now)
    with pytest.raises(LookupError, match="nobody with the id bob"):
        await record_of(house.ledger, house.cohort.id, "bob", now)


# --- looking ----------------------------------------------------------------------------------------------------------


def total(progress: Message) -> int:
    """What the lines of `/progress` add up to, down to the rules."""
    (facts,) = (part for part in progress.body if isinstance(part, Facts))
    signed = re.findall(r" ([+\u2212]\d+)", " ".join(read(Message(body=((*line.label,),))) for line in facts.lines))
    points = [int(text.replace("\u2212", "-")) for text in signed]
    lines = [read(Message(body=(line.value,))).replace("\u2212", "-") for line in facts.lines]
    assert sum(points) == sum(int(line) for line in lines if line[0] in "+-")
    return sum(points)


async def test_progress_lists_every_rule_and_adds_up(house: House) -> None:
    await house.joins("ada")
    house.clock.reach(DEADLINE)
    await house.checks_in("ada", **ALL_OF_IT)
    await house.checks_in("ada", 2, tasks="golden-set")
    house.clock.reach(WEEK_1 + 3 * WEEK)
    await house.says("ada", "cohort rest")
    progress = await house.says("ada", "progress")
    assert read(progress).splitlines()[:8] == [
        "Progress Ada 26 0 1 2 3 0",
        "- 1 Find things: +11",
        "  Checked in 10, +10 · Must tasks 1 5, +5 · Stretch tasks 1 3, +3 · Evidence 5, +5 · Late 50, \u221212",
        "- 2 Measure things: +15",
        "  Checked in 10, +10 · Must tasks 1 5, +5",
        "- 3 Ship things: Missed",
        "- 4 Tell of things: Rested",
        "Last step done",
    ]
    assert total(progress) == 26


async def test_the_week_is_there_for_members_and_for_strangers(house: House) -> None:
    await house.joins("ada")
    await house.checks_in("ada", tasks="read")
    assert (await house.reads("ada", "week")).splitlines() == [
        "Week 1 4 Find things Search by meaning 6 Monday 11 January 2027, 12:00",
        "[x] Read about vectors (Must, Hours 2)",
        "[ ] Build an index (Stretch, Hours 4)",
        "[Check in]",
    ]
    assert (await house.reads("stranger", "week 2")).splitlines() == [
        "Week 2 4 Measure things Know how good it is 5.5 Monday 18 January 2027, 12:00",
        "- Write fifty questions (Must, Hours 5.5)",
        "[Join]",
    ]
    assert refused(await house.says("stranger", "week 5")) == ("Unknown step 5 4", None)


async def test_no_citation_is_read_in_the_chat(house: House, ledger: StoredLedger) -> None:
    plan = edition().plan
    first = plan.steps[0].model_copy(update={"goal": "Search by meaning [@wrok]", "title": "Find things [@wrok]"})
    cited = edition().model_copy(update={"plan": plan.model_copy(update={"steps": (first, *plan.steps[1:])})})
    room = replace(ROOM, channel="another")
    await open_cohort(ledger, "Cited", START, "Europe/Berlin", cited, room, None, "salt", OPENED)
    ada = caller("ada", room=room)
    await house.joins(ada)
    assert "Search by meaning 6" in await house.reads(ada, "week")
    assert "- 1 Find things: Open" in await house.reads(ada, "progress")


async def test_there_is_no_board_of_two(house: House) -> None:
    for user in ("ada", "bo", "chidi"):
        await house.joins(user)
    await house.checks_in("ada", **ALL_OF_IT)
    answer = read(await house.checks_in("bo"))
    assert "Place" not in answer
    for user in ("ada", "chidi", "stranger"):
        assert await house.reads(user, "leaderboard") == "Board hidden 3"


async def test_the_board_tells_each_their_own_place_and_nobody_elses(house: House) -> None:
    for user in ("ada", "bo", "chidi", "dana", "emre"):
        await house.joins(user, shown="alias" if user == "dana" else "name")
    await house.checks_in("ada")
    await house.checks_in("bo")
    assert "Place 1 3" in read(await house.checks_in("chidi", **ALL_OF_IT))
    assert "Place 4 4" not in (third := read(await house.checks_in("dana", tasks="read")))
    assert "Place 2 4" in third
    board = (await house.says("ada", "leaderboard")).body[1]
    assert isinstance(board, Board)
    assert [(row.place, row.points, row.streak, row.you) for row in board.rows] == [
        (1, 23, 1, False), (2, 15, 1, False), (3, 10, 1, True), (3, 10, 1, False)]
    assert [row.name for row in board.rows if row.place != 2] == ["Chidi", "Ada", "Bo"]
    assert "Dana" not in await house.reads("emre", "leaderboard")
    assert "Place 3 4" in await house.reads("ada", "progress")
    await house.says("chidi", "cohort leave")
    assert "Chidi" not in await house.reads("ada", "leaderboard"), "who leaves is off the board"


async def test_only_the_organiser_reads_the_log(house: House) -> None:
    await tick(house)
    await house.joins("ada")
    for who in ("ada", "stranger"):
        assert refused(await house.says(who, "cohort log")) == ("Not organiser", None)
        assert "/cohort log" not in await house.reads(who, "cohort help")
    log = await house.reads("olu", "cohort log")
    assert "- welcome 1 Saturday 2 January 2027, 09:00: missed: 76.0 h after it was due" in log
    assert "- week opens 1 Monday 4 January 2027, 09:00: missed: 28.0 h after it was due" in log
    assert "- week opens 2 Monday 11 January 2027, 09:00: owed" in log
    assert "- nudges 1: 1 owed" in log
    assert await house.reads(caller("admin", organiser=True), "cohort log") == log
    assert "/cohort log" in await house.reads("olu", "cohort help")
    house.clock.reach(WEEK_1 + timedelta(hours=1))
    (report,) = (await tick(house)).said(ORGANISER)
    assert report.splitlines() == [
        "Report 2",
        "- Report line welcome 1 local:ninety Saturday 2 January 2027, 09:00 76.0 h after it was due",
        "- Report line week opens 1 local:ninety Monday 4 January 2027, 09:00 28.0 h after it was due",
        "[Log]"]


async def test_who_runs_another_room_does_not_run_this_one(house: House) -> None:
    await house.joins("ada")
    elsewhere = caller("ada", room=replace(ROOM, channel="random"), organiser=True)
    assert refused(await house.says(elsewhere, "cohort log")) == ("Not organiser", None)


@pytest.mark.parametrize(("line", "given", "nearest"), [
    ("chekin", "/chekin", "/checkin"), ("/cohort jion", "/cohort jion", "/cohort join"), ("", "/", "/cohort help"),
    ("cohort", "/cohort", "/cohort"), ("<!everyone>", "/<!everyone>", "/cohort help"),
    ("x" * 100_000, f"/{'x' * 40}", "/cohort help"),
])
async def test_an_unknown_command_is_told_the_nearest(house: House, line: str, given: str, nearest: str) -> None:
    assert read(await house.says("ada", line)).startswith(f"Unknown command {given} {nearest}")


# --- which cohort -----------------------------------------------------------------------------------------------------


async def test_in_a_room_without_a_cohort_there_is_none(house: House) -> None:
    elsewhere = caller("stranger", room=replace(ROOM, channel="random"))
    for line in ("week", "checkin", "cohort join", "cohort help", "nonsense"):
        assert refused(await house.says(elsewhere, line)) == ("No cohort", None)
    assert refused(await house.joins(elsewhere)) == ("No cohort", None)
    assert refused(await house.says(caller("stranger", room=None), "week")) == ("No cohort", None)


@pytest.mark.parametrize("room", [None, replace(ROOM, channel="random")])
async def test_a_members_cohort_is_found_wherever_they_ask(house: House, room: Room | None) -> None:
    await house.joins("ada")
    away = caller("ada", room=room)
    assert (await house.opens(away, "checkin")).about == "week-1"
    assert read(await house.sends(away, "check-in", "week-1")).startswith("Checked in 1")
    assert (await house.reads(away, "cohort leave")).startswith("Left Ninety & co")
    assert not (await house.joins(away)).refused, "the button to come back works where they left"
    log = await house.reads(replace(caller("olu"), room=room), "cohort log")
    assert log.startswith("Log Ninety & co"), "and the organiser's, who is told of the log in private"


async def test_one_workspace_never_sees_anothers_cohort(house: House) -> None:
    await house.joins("ada")
    for other in (Account("local", "T2", "ada"), Account("slack", "", "ada")):
        assert refused(await house.says(Caller(other, None), "progress")) == ("No cohort", None)
        assert refused(await house.says(Caller(other, ROOM), "progress")) == ("Not enrolled", None)


async def test_the_youngest_of_two_cohorts_is_meant(house: House, ledger: StoredLedger) -> None:
    room = replace(ROOM, channel="another")
    await open_cohort(ledger, "The second", START + WEEK, "Europe/Berlin", edition(), room, None, "salt", WEEK_1)
    await house.joins("ada")
    await house.joins(caller("ada", room=room))
    alone = caller("ada", room=None)
    assert "The second" in await house.reads(alone, "cohort help")
    await house.says(caller("ada", room=room), "cohort leave")
    assert "Ninety & co" in await house.reads(alone, "cohort help"), "the one they are in before one they left"


# --- what others typed ------------------------------------------------------------------------------------------------


def pieces(message: Message | Form) -> Iterator[Piece]:
    if isinstance(message, Form):
        yield from message.intro
        return
    yield from message.title
    for part in message.body:
        yield from _pieces(part)


def _pieces(part: Part) -> Iterator[Piece]:
    if isinstance(part, Tasks):
        for task in part.lines:
            yield from task.do
    elif isinstance(part, Facts):
        for fact in part.lines:
            yield from (*fact.label, *fact.value)
    elif isinstance(part, tuple):
        yield from part


@pytest.mark.parametrize("words", ["<b>@everyone</b>", "<!channel>", "[a](http://b)", "*{name}* %s", "<@U1>"])
async def test_what_a_member_typed_is_never_markup(house: House, words: str) -> None:
    answers = [await house.joins("ada", name=words), await house.sets("ada", name=words),
               await house.says("ada", "progress"), await house.says("ada", words),
               await house.says("ada", f"week {words}"), await house.joins("bo", name=words, zone="utc"),
               await house.joins("bo", name="Bo", zone=words), await house.checks_in("ada", hours=words),
               await house.checks_in("ada", evidence=words), await house.checks_in("ada", confidence=words)]
    for answer in answers:
        found = [piece for piece in pieces(answer) if not isinstance(piece, Markdown)]
        assert any(isinstance(piece, Plain) and words.split()[0] in piece.text for piece in found), read(answer)
        assert not any(words in piece.text for piece in pieces(answer) if isinstance(piece, Markdown))


# --- when the database is down ----------------------------------------------------------------------------------------


class Down:
    """Refuses as a locked database does."""

    async def transact(self, work: Callable[[Transaction], T], *, reads: bool = False,
                       meanwhile: Callable[[T], object] | None = None) -> T:
        raise Unsaved


async def test_when_nothing_can_be_saved_it_says_so(house: House) -> None:
    await house.joins("ada")
    down = House(Desk(Down(), guide()), house.ledger, house.clock, house.cohort)
    assert refused(await down.checks_in("ada", request="r", **ALL_OF_IT)) == ("Not saved", None)
    assert refused(await down.says("ada", "progress")) == ("Not saved", None)
    assert await house.kinds("ada") == [Joined]
    assert read(await house.checks_in("ada", request="r", **ALL_OF_IT)).startswith("Checked in 1"), "sent again"


# --- the guide's sentences --------------------------------------------------------------------------------------------


def refusals(kind: type[Refused] = Refused) -> Iterator[type[Refused]]:
    for one in kind.__subclasses__():
        yield one
        yield from refusals(one)


def placeholders(model: type[BaseModel], field: str) -> list[str]:
    return [name for item in model.model_fields[field].metadata if isinstance(item, Fills) for name in item.names]


@pytest.mark.parametrize("kind", list(refusals()), ids=lambda kind: kind.__name__)
def test_every_refusal_fills_its_sentence_and_no_more(kind: type[Refused]) -> None:
    samples: dict[str, object] = {"str": "words", "int": 7, "datetime": WEEK_1}
    one = kind(*(samples[field.type] for field in kind.__dataclass_fields__.values()))  # type: ignore[attr-defined]
    assert sorted(one.values()) == sorted(placeholders(Refusals, kind.sentence))
    words = read(refusal(guide().voice, one))
    assert words.startswith(kind.sentence.replace("_", " ").capitalize())
    assert "{" not in words


def test_the_guide_holds_no_dead_sentence() -> None:
    """Whatever an author can write is read by somebody."""
    code = "\n".join(path.read_text() for path in Path(bot.__file__).parent.rglob("*.py"))
    used: dict[type[BaseModel], set[str]] = {
        Refusals: {kind.sentence for kind in refusals()} | set(re.findall(r"refusals\.(\w+)", code)),
        Commands: {command.help for command in commands.COMMANDS},
        Words: {rule.value for rule in Rule} | set(re.findall(r"\bwords\.(\w+)", code)),
        JoinForm: set(re.findall(r"\b(?:words|join_form)\.(\w+)", code)),
        OpenForm: set(re.findall(r"\b(?:words|open_form)\.(\w+)", code)),
        Voice: set(re.findall(r"\bvoice\.(\w+)", code)),
    }
    dead = {f"{model.__name__}.{name}" for model, names in used.items() for name in model.model_fields
            if name not in names}
    assert dead == set()


# --- the same command twice -------------------------------------------------------------------------------------------


async def test_a_repeated_rest_rests_once(house: House) -> None:
    """A late answer makes a platform send the same command again, when another week may be open."""
    await house.joins("ada")
    first = await house.says("ada", "cohort rest", "r1")
    house.clock.reach(WEEK_1 + timedelta(days=7))
    assert (await house.says("ada", "cohort rest", "r1")).body[0] == first.body[0]
    assert (await house.kinds("ada")).count(Rested) == 1


async def test_a_repeated_leave_answers_as_before(house: House) -> None:
    await house.joins("ada")
    first = await house.says("ada", "cohort leave", "l1")
    assert await house.says("ada", "cohort leave", "l1") == first
    assert (await house.kinds("ada")).count(Left) == 1
    assert refused(await house.says("ada", "cohort leave", "l2")) == ("Not enrolled", None)


# --- opening a cohort in its room -------------------------------------------------------------------------------------

ELSEWHERE = Room("local", "", "elsewhere")
SERVER = Room("discord", "4", "44")


async def test_whoever_runs_a_room_opens_a_cohort_in_it(house: House) -> None:
    olu = caller("olu", room=ELSEWHERE, organiser=True)
    form = await house.opens(replace(olu, room=SERVER), "cohort open 4711")
    assert [field.name for field in form.fields] == ["title", "start", "zone", "plan", "threads"]
    form = await house.opens(olu, "cohort open 4711")
    assert [field.name for field in form.fields] == ["title", "start", "zone", "plan"], "threads are Discord's"
    assert (value(form, "start"), value(form, "zone"), value(form, "plan")) == \
        ("2027-01-11", "Europe/Berlin", ["fortnight"])
    said = await house.sends(olu, form.kind, form.about, title="  Winter   2027 ", start="2027-01-11", zone="lisbon",
                             plan="fortnight", threads="yes")
    assert not said.refused
    (_, opened) = await house.ledger.transact(lambda tx: tx.cohorts())
    assert (opened.title, opened.start, opened.zone, opened.room, opened.organiser, opened.threads,
            opened.graduate_role) == ("Winter 2027", date(2027, 1, 11), "Europe/Lisbon", ELSEWHERE, account("olu"),
                                      True, "4711")
    assert said.cohort == opened.id
    owed = await house.ledger.transact(lambda tx: tx.deliveries(opened.id))
    assert [one.delivery.key for one in owed] == [one.key for one in posts(opened)]
    assert not (await house.sends(caller("ada", room=ELSEWHERE), "join", name="Ada", zone="Tokyo", shown="alias",
                                  nudges="no")).refused


@pytest.mark.parametrize(("who", "sentence"), [
    (caller("olu", organiser=True), "Room has cohort"),
    (caller("ada", room=ELSEWHERE), "Not organiser"),
    (caller("olu", room=None, organiser=True), "No room"),
])
async def test_a_cohort_is_opened_by_the_organiser_in_an_empty_room(house: House, who: Caller, sentence: str) -> None:
    assert refused(await house.says(who, "cohort open")) == (sentence, None)
    assert refused(await house.sends(who, "open", title="X", start="2027-02-01", zone="Berlin")) == (sentence, None)


@pytest.mark.parametrize(("answers", "sentence", "field"), [
    ({"start": "1.2.2027"}, "Bad date 1.2.2027", "start"),
    ({"start": "2027-01-04"}, "Starts too early 2027-01-04", "start"),
    ({"title": " "}, "Title length 60", "title"),
    ({"title": "x" * 61}, "Title length 60", "title"),
    ({"zone": "Atlantis"}, "Unknown zone Atlantis", "zone"),
])
async def test_a_slip_in_the_form_opens_nothing(house: House, answers: dict[str, str], sentence: str, field: str) \
        -> None:
    usual = {"title": "Winter", "start": "2027-02-01", "zone": "Berlin", "plan": "fortnight", "threads": "no"}
    said = await house.sends(caller("olu", room=ELSEWHERE, organiser=True), "open", **usual | answers)
    assert (read(said).startswith(sentence), said.field) == (True, field)
    assert len(await house.ledger.transact(lambda tx: tx.cohorts())) == 1


# --- whose cohort -----------------------------------------------------------------------------------------------------


async def test_a_button_acts_on_the_cohort_it_was_about(house: House) -> None:
    """A nudge of the older cohort must not check in to the younger one."""
    await house.joins("ada")
    younger = await open_cohort(house.ledger, "Younger", date(2027, 1, 11), "Europe/Berlin", edition(), ELSEWHERE, None,
                                "salt", house.clock.now())
    await house.joins(caller("ada", room=ELSEWHERE))
    alone = caller("ada", room=None)
    assert (await house.command(alone, "checkin")).cohort == younger.id
    for about in (house.cohort.id, younger.id):
        assert (await house.command(replace(alone, cohort=about), "progress")).cohort == about
    assert (await house.command(replace(caller("ada"), cohort=younger.id), "progress")).cohort == younger.id


async def test_a_cohort_that_is_not_ones_own_is_out_of_reach(house: House) -> None:
    """Whatever a forged button says."""
    await house.joins("ada")
    assert refused(await house.says(replace(caller("eve", room=ELSEWHERE), cohort=house.cohort.id), "leaderboard")) == \
        ("No cohort", None)


async def test_a_workspace_shows_nothing_of_another(house: House) -> None:
    """The same person, asking on another server."""
    await house.joins("ada")
    elsewhere = caller("ada", room=Room("local", "another", "ninety"))
    assert refused(await house.says(elsewhere, "progress")) == ("No cohort", None)


# --- one cohort, two rooms --------------------------------------------------------------------------------------------

SLACK = Room("slack", "T1", "C1")


def on_slack(user: str, *, organiser: bool = False, room: Room | None = SLACK) -> Caller:
    return Caller(Account("slack", "T1", user), room, user.capitalize(), "Europe/Berlin", organiser)


def code_of(message: Message) -> str:
    found = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", read(message))
    assert found is not None
    return found[0]


@pytest.fixture
async def bridged(house: House) -> House:
    code = code_of(await house.says("olu", "cohort bridge"))
    assert read(await house.says(on_slack("boss", organiser=True), f"cohort bridge {code}")).startswith("Bridged")
    return house


async def test_a_cohort_lives_in_a_room_on_each_platform(bridged: House) -> None:
    """The same weeks; what is over already is not said again in the new room."""
    assert await bridged.ledger.transact(lambda tx: tx.rooms(bridged.cohort.id)) == [ROOM, SLACK]
    assert not (await bridged.joins(on_slack("bo"))).refused
    logged = await bridged.ledger.transact(lambda tx: tx.deliveries(bridged.cohort.id))
    ahead = [one.delivery for one in logged if one.delivery.due > WEEK_1 and one.delivery.member is None]
    assert len([one for one in logged if one.delivery.lane == Lane("slack", False) and one.delivery.due <= WEEK_1]) == 0
    here, there = ([(one.kind, one.step, one.due) for one in ahead if one.lane.platform == platform]
                   for platform in ("local", "slack"))
    assert here == there != []


async def test_there_is_one_board_and_one_set_of_names(bridged: House) -> None:
    for who in ("ada", "bo"):
        await bridged.joins(who)
        await bridged.checks_in(who)
    cy = on_slack("cy")
    await bridged.joins(cy)
    assert refused(await bridged.joins(on_slack("ada"))) == ("Name taken Ada", "name")
    await bridged.sends(cy, "check-in", "week-1", "", **ALL_OF_IT)
    assert "Cy" in await bridged.reads("ada", "leaderboard")
    assert await bridged.reads(on_slack("eve"), "leaderboard") == await bridged.reads("eve", "leaderboard")


async def test_two_linked_accounts_are_one_member_and_their_points_count_once(bridged: House) -> None:
    await bridged.joins("ada")
    code = code_of(await bridged.says("ada", "cohort link"))
    there = on_slack("u7")
    assert read(await bridged.says(there, f"cohort link {code.lower().replace('-', '')}")).startswith("Linked Ada")
    await bridged.checks_in("ada", **ALL_OF_IT)
    alone = await bridged.reads("ada", "progress")
    await bridged.sends(there, "check-in", "week-1", "", **ALL_OF_IT)
    assert await bridged.reads(there, "progress") == await bridged.reads("ada", "progress") == alone
    assert (await bridged.kinds("ada")).count(CheckedIn) == 2, "the second is an amendment"
    assert refused(await bridged.joins(there)) == ("Already enrolled", None)
    assert (await bridged.command(replace(there, room=None), "checkin")).cohort == bridged.cohort.id
    members = await bridged.ledger.transact(lambda tx: tx.members(bridged.cohort.id))
    assert [member.name for member in members] == ["Ada"]


async def test_a_code_works_once_and_for_ten_minutes_and_for_what_it_is(bridged: House) -> None:
    await bridged.joins("ada")
    await bridged.joins("bo")
    code = code_of(await bridged.says("ada", "cohort link"))
    assert refused(await bridged.says(on_slack("x", organiser=True), f"cohort bridge {code}")) == ("Bad code", None)
    assert refused(await bridged.says("bo", f"cohort link {code}")) == ("Same platform", None)
    assert not (await bridged.says(on_slack("u7"), f"cohort link {code}")).refused
    assert refused(await bridged.says(on_slack("x"), f"cohort link {code}")) == ("Bad code", None)
    code = code_of(await bridged.says("ada", "cohort link"))
    bridged.clock.reach(WEEK_1 + timedelta(minutes=10))
    assert refused(await bridged.says(on_slack("x"), f"cohort link {code}")) == ("Bad code", None)
    for never in ("AAAA-AAAA", "", "' or 1=1 --"):
        assert refused(await bridged.says(on_slack("x"), f"cohort link {never or '-'}")) == ("Bad code", None)


async def test_who_has_joined_in_both_rooms_leaves_one_first(bridged: House) -> None:
    await bridged.joins("ada")
    there = on_slack("u7")
    await bridged.joins(there, name="Ada 2")
    code = code_of(await bridged.says("ada", "cohort link"))
    assert refused(await bridged.says(there, f"cohort link {code}")) == ("Joined twice", None)
    await bridged.says(there, "cohort leave")
    assert read(await bridged.says(there, f"cohort link {code}")).startswith("Linked Ada"), "the code is not used up"
    assert "Ada 2" not in await bridged.reads(there, "progress")


async def test_only_who_runs_both_rooms_joins_them(house: House) -> None:
    assert refused(await house.says("ada", "cohort bridge")) == ("Not organiser", None)
    code = code_of(await house.says("olu", "cohort bridge"))
    assert refused(await house.says(on_slack("ada"), f"cohort bridge {code}")) == ("Not organiser", None)
    assert refused(await house.says(on_slack("boss", organiser=True, room=None), f"cohort bridge {code}")) == \
        ("No room", None)
    other = await open_cohort(house.ledger, "Other", date(2027, 1, 11), "Europe/Berlin", edition(), SLACK, None, "salt",
                              house.clock.now())
    assert refused(await house.says(on_slack("boss", organiser=True), f"cohort bridge {code}")) == \
        ("Room has cohort", None)
    assert await house.ledger.transact(lambda tx: tx.rooms(other.id)) == [SLACK]


# --- while somebody types ---------------------------------------------------------------------------------------------


async def test_weeks_and_zones_are_suggested(house: House) -> None:
    ada, now = caller("ada"), WEEK_1
    assert await house.desk.suggestions(ada, "week", "", now) == [
        ("1", "1: Find things"), ("2", "2: Measure things"), ("3", "3: Ship things"), ("4", "4: Tell of things")]
    assert await house.desk.suggestions(ada, "week", "sh", now) == [("3", "3: Ship things")]
    assert await house.desk.suggestions(caller("ada", room=ELSEWHERE), "week", "", now) == []
    assert await house.desk.suggestions(ada, "zone", "", now) == [("Europe/Berlin", "Europe/Berlin")]
    found = await house.desk.suggestions(ada, "zone", "new y", now)
    assert found[0] == ("America/New_York", "America/New York")
    assert len(await house.desk.suggestions(ada, "zone", "a", now)) == 25


# --- the pinned edition -----------------------------------------------------------------------------------------------


async def test_an_edit_of_the_guide_leaves_a_running_cohort_alone(house: House, database: Database) -> None:
    """Another task, other points, another voice: desk and herald go on with those of the first day, also in a process
    that was started after the edit."""
    old = guide()
    plan = old.plans["fortnight"]
    first = plan.steps[0]
    task = first.tasks[0].model_copy(update={"id": "skip", "do": "Skip it all"})
    other = {"title": "Lose things", "tasks": (task,)}
    edited = old.model_copy(update={
        "plans": {"fortnight": plan.model_copy(update={"steps": (first.model_copy(update=other), *plan.steps[1:])})},
        "cohort": old.cohort.model_copy(update={"scoring": old.cohort.scoring.model_copy(update={"check_in": 99})}),
        "voice": old.voice.model_copy(update={"checked_in": old.voice.amended, "week_opens": old.voice.help}),
    })
    assert Edition.of(edited, "fortnight") != edition()
    later = House(Desk(StoredLedger(database), edited), StoredLedger(database), house.clock, house.cohort)
    await later.joins("ada")
    assert await later.reads("ada", "week") == await house.reads("ada", "week")
    form = await later.opens("ada", "checkin")
    assert form == await house.opens("ada", "checkin")
    assert refused(await later.checks_in("ada", tasks="skip")) == ("Unknown task", "tasks")
    assert read(await later.checks_in("ada", **ALL_OF_IT)).startswith("Checked in 1 Find things 23 23 1")
    house.clock.reach(datetime(2027, 1, 11, 8, tzinfo=UTC))
    posted = (await tick(later)).said(ROOM)
    assert [text.split("\n")[0] for text in posted] == [
        "Week opens 2 4 Measure things Know how good it is 5.5 Monday 18 January 2027, 12:00",
        "Week closes 1 Find things 1 1 2"]
    assert (await later.ledger.transact(lambda tx: tx.cohort(house.cohort.id))).edition == edition()
