"""A message as lines of plain text."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bot.messages import (
    Board,
    BoardRow,
    Button,
    Fact,
    Facts,
    Link,
    Message,
    TaskLine,
    Tasks,
    When,
    fill,
    markdown,
)
from bot.transcript import lines

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
AT = datetime(2026, 12, 6, 22, 59, tzinfo=UTC)


def test_nothing_said_is_no_line() -> None:
    assert list(lines(Message(), BERLIN)) == []


def test_a_whole_message_reads_from_top_to_bottom() -> None:
    message = Message(
        markdown("**Week 1**"),
        (fill("Until {mine}, which is {theirs}.\n\nGo, {name}!", mine=When(AT), theirs=When(AT, zone=TOKYO),
              name="*Ana*"),),
        (Button("Check in", "checkin"), Link("How and why", "https://example.org/week-1/")))
    assert list(lines(message, BERLIN)) == [
        "# Week 1",
        "Until Sunday 6 December 2026, 23:59, which is Monday 7 December 2026, 07:59.",
        "",
        "Go, *Ana*!",
        "[Check in] [How and why: https://example.org/week-1/]",
    ]


def test_tasks_are_ticked_where_somebody_is_meant() -> None:
    tasks = Tasks((TaskLine(markdown("Read"), "2 h", True, True), TaskLine(markdown("Build"), "4 h", True, False),
                   TaskLine(markdown("Show *it*"), "1 h", False)), "must", "stretch")
    assert list(lines(Message(body=(tasks,)), BERLIN)) == [
        "[x] Read (must, 2 h)", "[ ] Build (must, 4 h)", "- Show it (stretch, 1 h)"]


def test_a_board_marks_its_reader() -> None:
    board = Board((BoardRow(1, "Calm Otter", 70, 3), BoardRow(2, "*Ana*", 40, 1, True)),
                  ("Place", "Name", "Points", "Streak"), "you")
    assert list(lines(Message(body=(board,)), BERLIN)) == [
        "Place | Name | Points | Streak", "1 | Calm Otter | 70 | 3", "2 | *Ana* (you) | 40 | 1"]


def test_facts_have_their_figure_on_the_first_line() -> None:
    facts = Facts((Fact(markdown("**1** Start\nChecked in +20"), markdown("+20")), Fact(markdown("Alone"))))
    assert list(lines(Message(body=(facts,)), BERLIN)) == ["- 1 Start: +20", "  Checked in +20", "- Alone"]
