"""What a member may not do, one type each. The sentence they read is the guide's, under `voice.refusals`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar


class Refused(Exception):
    """Not an error: a rule said no. `values()` fill the sentence of the same name in the guide's voice."""

    sentence: ClassVar[str]
    field: ClassVar[str | None] = None
    """The field of the form that it is about."""

    def values(self) -> dict[str, str | int | datetime]:
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]


@dataclass
class NoCohort(Refused):
    """No cohort lives in this room, and the person is in none elsewhere."""

    sentence = "no_cohort"


@dataclass
class NotEnrolled(Refused):
    sentence = "not_enrolled"


@dataclass
class AlreadyEnrolled(Refused):
    sentence = "already_enrolled"


@dataclass
class NotStarted(Refused):
    start: datetime
    sentence = "not_started"


@dataclass
class CohortOver(Refused):
    sentence = "cohort_over"


@dataclass
class UnknownStep(Refused):
    given: str
    last: int
    sentence = "unknown_step"


@dataclass
class NotOpenYet(Refused):
    step: str
    opens: datetime
    sentence = "not_open_yet"


@dataclass
class BeforeYouJoined(Refused):
    """Earlier steps do not count for a late joiner, neither for nor against."""

    step: str
    first: str
    sentence = "before_you_joined"


@dataclass
class TooLate(Refused):
    step: str
    closed: datetime
    sentence = "too_late"


@dataclass
class UnknownTask(Refused):
    """The form is older than the plan: a task in it is no longer there."""

    sentence = "unknown_task"
    field = "tasks"


@dataclass
class BadHours(Refused):
    given: str
    most: int
    sentence = "bad_hours"
    field = "hours"


@dataclass
class BadLink(Refused):
    given: str
    sentence = "bad_link"
    field = "evidence"


@dataclass
class TooManyLinks(Refused):
    given: int
    most: int
    sentence = "too_many_links"
    field = "evidence"


@dataclass
class TooLong(Refused):
    label: str
    given: int
    most: int
    where: str
    sentence = "too_long"

    def __post_init__(self) -> None:
        self.field = self.where  # type: ignore[misc]

    def values(self) -> dict[str, str | int | datetime]:
        return {"label": self.label, "given": self.given, "most": self.most}


@dataclass
class UnknownChoice(Refused):
    given: str
    sentence = "unknown_choice"
    field = "confidence"


@dataclass
class NoName(Refused):
    sentence = "no_name"
    field = "name"


@dataclass
class NameTooLong(Refused):
    given: int
    most: int
    sentence = "name_too_long"
    field = "name"


@dataclass
class NameTaken(Refused):
    given: str
    sentence = "name_taken"
    field = "name"


@dataclass
class BadZone(Refused):
    given: str
    nearest: str
    sentence = "unknown_zone"
    field = "zone"


@dataclass
class NoRestLeft(Refused):
    allowed: int
    sentence = "no_rest_left"


@dataclass
class NothingToRest(Refused):
    """The step is checked in already, or its deadline has passed."""

    step: str
    sentence = "nothing_to_rest"


@dataclass
class AlreadyResting(Refused):
    step: str
    sentence = "already_resting"


@dataclass
class UnknownCommand(Refused):
    given: str
    nearest: str
    sentence = "unknown_command"


@dataclass
class NotOrganiser(Refused):
    sentence = "not_organiser"


@dataclass
class NoRoom(Refused):
    """Asked in private, where no cohort can live."""

    sentence = "no_room"


@dataclass
class RoomHasCohort(Refused):
    sentence = "room_has_cohort"


@dataclass
class BadDate(Refused):
    given: str
    sentence = "bad_date"
    field = "start"


@dataclass
class StartsTooEarly(Refused):
    """A cohort cannot begin in the past: its first days could not be posted any more."""

    given: str
    sentence = "starts_too_early"
    field = "start"


@dataclass
class TitleLength(Refused):
    most: int
    sentence = "title_length"
    field = "title"


@dataclass
class BadCode(Refused):
    """Unknown, used, too old, or for something else: which, is told to nobody."""

    sentence = "bad_code"


@dataclass
class SamePlatform(Refused):
    sentence = "same_platform"


@dataclass
class JoinedTwice(Refused):
    """The account that would be linked is a present member by itself."""

    sentence = "joined_twice"
