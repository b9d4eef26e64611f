"""A plan as an iCalendar file (RFC 5545), for readers without JavaScript: one all-day event for each step.

The browser makes the same with the reader's own start (assets/js/calendar.js). UIDs agree, so that a plan taken from
both with one start is in a calendar once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta

from content.model import Guide, Plan, PlanId
from docs.pages import hours, plain, weeks


def calendars(guide: Guide) -> Iterator[tuple[str, str]]:
    """(path below the root of the site, text) for each plan, as if it began on the nominal start."""
    start = nominal_start(guide.about.reviewed)
    for plan_id, plan in guide.plans.items():
        yield f"plans/{plan_id}.ics", calendar(plan_id, plan, start)


def nominal_start(reviewed: str) -> date:
    """The first Monday after the month of `about.reviewed`: from the guide and not from a clock, so that building the
    same guide twice gives the same files."""
    year, month = map(int, reviewed.split("-"))
    first = date(year + month // 12, month % 12 + 1, 1)
    return first + timedelta(days=-first.weekday() % 7)


def calendar(plan_id: PlanId, plan: Plan, start: date) -> str:
    """With CRLF at the end of each line. DTSTAMP is the start, because the text must not depend on when it was made."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Ninety//Guide//EN", "CALSCALE:GREGORIAN", "METHOD:PUBLISH",
             f"X-WR-CALNAME:{_escaped(plain(plan.title))}"]
    for week in weeks(plan):
        step = week.step
        first = start + timedelta(days=week.first_day - 1)
        tasks = [f"- {plain(task.do)} ({hours(task.hours)} h{'' if task.weight == 'must' else ', stretch'})"
                 for task in step.tasks]
        lines += [
            "BEGIN:VEVENT",
            f"UID:{plan_id}.{step.id}.{start:%Y%m%d}@ninety",
            f"DTSTAMP:{start:%Y%m%d}T000000Z",
            f"DTSTART;VALUE=DATE:{first:%Y%m%d}",
            f"DTEND;VALUE=DATE:{first + timedelta(days=step.days):%Y%m%d}",
            f"SUMMARY:{_escaped(f'{week.name}: {plain(step.title)}')}",
            "DESCRIPTION:" + _escaped("\n".join([plain(step.goal), "", *tasks])),
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    return "".join(f"{_folded(line)}\r\n" for line in [*lines, "END:VCALENDAR"])


def _escaped(text: str) -> str:
    text = re.sub(r"[\x00-\x09\x0b-\x1f\x7f]", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub(r"([\\;,])", r"\\\1", text).replace("\n", "\\n")


def _folded(line: str) -> str:
    """At most 75 octets a line, never through the middle of a character."""
    folded, octets = "", 0
    for character in line:
        size = len(character.encode())
        if octets + size > 75:
            folded, octets = folded + "\r\n ", 1
        folded, octets = folded + character, octets + size
    return folded
