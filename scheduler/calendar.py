"""What falls due when: a plan laid over local days, and those days laid over the one line of instants that is UTC.

Instants are aware datetimes; those given back are in UTC. Local days follow each other without gap or overlap: a day
begins where the one before is over for the last time, so a day that a zone skips (Apia, 30 December 2011) begins and
ends at the same instant, and a clock that falls back over midnight (St John's until 2011) begins one new day, not two.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import chain
from math import ceil
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

# --- instants and days ------------------------------------------------------------------------------------------------


def in_utc(at: datetime) -> datetime:
    """Raises ValueError for a naive datetime: in whose zone would it be?"""
    if at.utcoffset() is None:
        raise ValueError(f"{at!r} is naive: an instant carries its time zone")
    return at.astimezone(UTC)


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A local time that does not exist becomes the first instant after the gap, one that exists twice the first."""
    if at.tzinfo is not None:
        raise ValueError(f"{at!r} carries a zone of its own: a local time is naive")
    wanted = datetime.combine(day, at.replace(fold=0))
    found = _read(wanted, zone)
    if _wall(found, zone) == wanted:
        return found
    # PEP 495: in a gap, fold=1 reads the time with the offset after it, and so lands before it; fold=0 lands behind it.
    before = _read(wanted.replace(fold=1), zone).replace(microsecond=0)  # zones change on whole seconds
    seconds = range(ceil((found - before).total_seconds()))
    return before + timedelta(seconds=bisect_left(
        seconds, wanted, key=lambda second: _wall(before + timedelta(seconds=second), zone)
    ))


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    first = instant(day, time.min, zone)
    again = _read(datetime.combine(day, time(fold=1)), zone)
    # At 00:01 St John's went back to 23:01: the old day goes on, and so does everybody's time to check in. Where 01:00
    # goes back to 00:00, as in Havana, the day does not start anew.
    if again > first and _wall(again - datetime.resolution, zone).date() < day:
        return again
    return first


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    """The first instant that no longer belongs to the day: the start of the next."""
    return start_of_day(_shifted(day, 1), zone)


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """Never goes back while time goes on, not even where the date on the wall does."""
    at = in_utc(at)
    day = _wall(at, zone).date()
    return day if at >= start_of_day(day, zone) else _shifted(day, -1)


def _read(wall: datetime, zone: ZoneInfo) -> datetime:
    try:
        return wall.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{wall} in {zone} is outside the calendar of UTC") from None


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _shifted(day: date, days: int) -> date:
    try:
        return day + timedelta(days=days)
    except OverflowError:
        raise ValueError(f"{days:+} days from {day} is outside the calendar, which ends on {date.max}") from None


# --- a plan on the calendar -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """The local days of one step, both ends included."""

    id: str
    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"span {self.id!r} ends on {self.last}, before it starts on {self.first}")


@dataclass(frozen=True)
class Beat:
    """A kind of post: which spans it belongs to, and when in them."""

    kind: str
    anchor: Literal["first", "last"]
    day: int
    """Counted from the anchor day: 0 is that day, -2 two days before it, 1 the day after."""
    at: time
    """Local, so without a zone."""
    latest_by: timedelta
    """So long after it was due it is still worth sending."""
    on: Literal["each", "start", "middle", "end"]
    """Each span, or only the first, the middle or the last one. The middle is `spans[len(spans) // 2]`: of an even
    number, the one that opens the second half."""

    def __post_init__(self) -> None:
        if self.at.tzinfo is not None:
            raise ValueError(f"beat {self.kind!r}: {self.at!r} carries a zone of its own: a local time is naive")
        if self.latest_by < timedelta(0):
            raise ValueError(f"beat {self.kind!r}: it would be too late before it is due ({self.latest_by})")


@dataclass(frozen=True)
class Moment:
    due: datetime
    kind: str
    span: Span
    latest: datetime


def lay_out(lengths: Iterable[tuple[str, int]], start: date) -> tuple[Span, ...]:
    """One span after the other, from (id, days). Raises ValueError for an id given twice, for less than one day, and
    for a plan that runs past the end of the calendar."""
    spans: dict[str, Span] = {}
    used = 0
    for id, days in lengths:
        if days < 1:
            raise ValueError(f"{id!r} lasts {days} days: a span lasts at least one")
        if id in spans:
            raise ValueError(f"two spans are called {id!r}")
        spans[id] = Span(id, _shifted(start, used), _shifted(start, used + days - 1))
        used += days
    return tuple(spans.values())


def opens(span: Span, zone: ZoneInfo) -> datetime:
    return start_of_day(span.first, zone)


def deadline(span: Span, zone: ZoneInfo, grace: timedelta) -> datetime:
    """The end of the last local day, and the grace. What happens at this very instant is late."""
    if grace < timedelta(0):
        raise ValueError(f"a grace of {grace} would take time away")
    return end_of_day(span.last, zone) + grace


def span_at(spans: Iterable[Span], at: datetime, zone: ZoneInfo) -> Span | None:
    """None before the first span and after the last."""
    today = local_day(at, zone)
    return next((span for span in spans if span.first <= today <= span.last), None)


def moment(beat: Beat, span: Span, zone: ZoneInfo) -> Moment:
    day = span.first if beat.anchor == "first" else span.last
    due = instant(_shifted(day, beat.day), beat.at, zone)
    return Moment(due, beat.kind, span, due + beat.latest_by)


def moments(spans: Sequence[Span], beats: Sequence[Beat], zone: ZoneInfo) -> tuple[Moment, ...]:
    """In the order they fall due; at one instant, in the order of the beats. Raises ValueError when a span would get
    the same kind twice, since kind and span name a delivery."""
    found = [moment(beat, span, zone) for beat in beats for span in _spans_of(beat, spans)]
    for (kind, span_id), times in Counter((moment.kind, moment.span.id) for moment in found).items():
        if times > 1:
            raise ValueError(f"span {span_id!r} would get {kind!r} {times} times")
    return tuple(sorted(found, key=lambda moment: moment.due))  # stable: `found` is in the order of the beats


def _spans_of(beat: Beat, spans: Sequence[Span]) -> Sequence[Span]:
    if beat.on == "each" or not spans:
        return spans
    return (spans[{"start": 0, "middle": len(spans) // 2, "end": -1}[beat.on]],)


# --- the names of zones -----------------------------------------------------------------------------------------------

# Where the last part of a name is a place. `eastern` is not guessed at.
_CONTINENTS = frozenset(
    ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
)
_NO_PLACES = frozenset(("Factory", "localtime", "posixrules"))  # files among the zones


class UnknownZone(ValueError):
    """`nearest` holds up to five names that may have been meant, the likeliest first."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        *others, last = nearest or ("",)
        meant = f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?" if nearest else ""
        super().__init__(f"{name[:40]!r} is no time zone{meant}")
        self.name = name
        self.nearest = nearest


# `ZoneInfo` itself keeps the last eight zones only, and reads the ninth from its file each time.
@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Takes an IANA name or a city in any case, with spaces for underscores: `europe/berlin`, `New York`. A city whose
    name stands for different times raises UnknownZone like one that is not known. Nothing but known names is opened."""
    key = _key(name)
    known = _names().get(key)
    if known is None:
        cities = [city for city in _places().get(key, ()) if city.partition("/")[0] in _CONTINENTS]
        if len({_offsets(city) for city in cities}) == 1:
            # One place under two names, such as America/Buenos_Aires: the longer one is today's.
            known = max(cities, key=lambda city: (len(city), city))
    if known is None:
        raise UnknownZone(name, _nearest(key))
    return ZoneInfo(known)


@cache
def zone_names() -> tuple[str, ...]:
    """The names to offer, sorted: all but Etc/, which `zone` takes too. IANA counts those the other way round: who
    types `GMT+5` should not be offered Etc/GMT+5, five hours behind Greenwich."""
    return tuple(sorted(name for name in _names().values() if not name.startswith("Etc/")))


def nearest_zones(typed: str) -> tuple[str, ...]:
    """For somebody who is still typing: names of which a part begins so, then those that hold it, then look-alikes."""
    key = _key(typed)
    begin = [name for name in zone_names() if any(_key(part).startswith(key) for part in (name, *name.split("/")))]
    hold = [name for name in zone_names() if key in _key(name)]
    return tuple(dict.fromkeys((*begin, *hold, *_nearest(key))))


def _key(name: str) -> str:
    return "_".join(name.split()).casefold()


@cache
def _names() -> dict[str, str]:
    return {_key(name): name for name in available_timezones() - _NO_PLACES}


@cache
def _places() -> dict[str, tuple[str, ...]]:
    """By the last part of their name."""
    places: dict[str, tuple[str, ...]] = {}
    for name in zone_names():
        place = _key(name.rpartition("/")[2])
        places[place] = (*places.get(place, ()), name)
    return places


@cache
def _offsets(name: str) -> tuple[timedelta | None, ...]:
    """On the first of each month: two zones that agree in all of them are one to a cohort."""
    where = ZoneInfo(name)
    months = ((year, month) for year in range(1990, 2038) for month in range(1, 13))
    return tuple(datetime(year, month, 1, tzinfo=where).utcoffset() for year, month in months)


def _nearest(key: str) -> tuple[str, ...]:
    key = key[:40]  # a longer one resembles nothing, and comparing takes time
    offered = {_key(name): (name,) for name in zone_names()} | _places()
    meant = chain.from_iterable(offered[word] for word in get_close_matches(key, offered, n=5))
    return tuple(dict.fromkeys(meant))[:5]
