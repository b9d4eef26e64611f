"""What a member sent through the check-in form, read and judged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.cohort.refusals import BadHours, BadLink, TooLong, TooManyLinks, UnknownChoice, UnknownTask
from content.model import CheckInForm, Step, TaskId

LONGEST_LINK = 500

# People write 6,5 and .5 and 6h; all are clear.
_HOURS = re.compile(r"(\d{1,4}(?:[.,]\d{1,2})?|[.,]\d{1,2})\s*(?:h|hrs?|hours?)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Report:
    """The answers, sound in themselves."""

    done: tuple[TaskId, ...]
    hours: float | None
    links: tuple[str, ...]
    notes: str
    confidence: str


def read(form: CheckInForm, step: Step, *, done: tuple[str, ...], hours: str, links: str, notes: str,
         confidence: str) -> Report:
    """What was typed → a Report; raises the first refusal that applies. Everything may be left empty:
    "nothing done this week" is a check-in too."""
    known = [task.id for task in step.tasks]
    if not set(done) <= set(known):
        raise UnknownTask
    if confidence and confidence not in form.confidence.options:
        raise UnknownChoice(confidence[:40])
    if len(notes) > form.notes.longest:
        raise TooLong(form.notes.label, len(notes), form.notes.longest, "notes")
    return Report(tuple(task for task in known if task in done), _hours(form, hours), _links(form, links), notes,
                  confidence)


def _hours(form: CheckInForm, typed: str) -> float | None:
    if not typed:
        return None
    match = _HOURS.fullmatch(typed)
    if match is None or (hours := float(match[1].replace(",", "."))) > form.hours.most:
        raise BadHours(typed[:40], form.hours.most)
    return hours


def _links(form: CheckInForm, typed: str) -> tuple[str, ...]:
    # People put commas between links; a link that ended in one would open nothing.
    links = tuple(dict.fromkeys(link for word in typed.split() if (link := word.rstrip(",;"))))
    if len(links) > form.evidence.most:
        raise TooManyLinks(len(links), form.evidence.most)
    for link in links:
        try:
            parts = urlsplit(link)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and len(link) <= LONGEST_LINK
        except ValueError:
            sound = False
        if not sound:
            raise BadLink(link[:60])
    return links
