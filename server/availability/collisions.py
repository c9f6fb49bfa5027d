"""What of a mentor's rules a booked time collides with: she was to be away, or had the day off; pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from server.availability.closed import closed_days
from server.availability.expansion import expand
from server.availability.model import Availability
from server.people.zones import zone

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()


class Collision(NamedTuple):
    """``kind`` is absence, day_off, other_hours or holiday; ``cause`` names this very one, ``why`` tells people."""

    kind: str
    cause: str
    why: str


def collisions(rules: Availability, start: datetime, end: datetime) -> list[Collision]:
    """What of the rules speaks against [start, end); that it lies outside the weekly hours does not: it was agreed."""
    found = []
    home = zone(rules.timezone)
    begin, until = (at.astimezone(home).replace(tzinfo=None) for at in (start, end))
    for absence in rules.absences:
        if begin < absence.end and until > absence.start:
            cause = (
                f"{absence.start.isoformat(timespec='minutes')}/{absence.end.isoformat(timespec='minutes')}"
            )
            why = f"Away: {absence.reason}" if absence.reason else "Away"
            found.append(Collision("absence", cause, why))
    if not _offered(rules, start, end):
        found += _day(rules, start)
    return found


def _offered(rules: Availability, start: datetime, end: datetime) -> bool:
    """Whether the hours of that day, or a night that began the day before, contain the time, absences aside."""
    seconds = int(start.astimezone(UTC).timestamp())
    minutes = int((end - start).total_seconds()) // 60
    alone = Availability(
        rules.timezone,
        weekly=rules.weekly,
        overrides=rules.overrides,
        holidays=rules.holidays,
        travel=rules.travel,
        slot_minutes=minutes,
        start_increment_minutes=1,
        booking_window_days=365,
    )
    return bool(expand(alone, seconds, seconds + 1, (), seconds, length=minutes))


def _day(rules: Availability, start: datetime) -> list[Collision]:
    """The override or holiday of the day on which it starts, in the zone the mentor is in then."""
    day = start.astimezone(zone(rules.timezone)).date()
    for span in rules.travel:
        there = start.astimezone(zone(span.timezone)).date()
        if span.first <= there <= span.last:
            day = there
    overrides = dict(rules.overrides)
    if day in overrides:
        if overrides[day]:
            return [Collision("other_hours", day.isoformat(), f"Other hours on {day.isoformat()}")]
        return [Collision("day_off", day.isoformat(), f"A day off: {day.isoformat()}")]
    holidays = rules.holidays
    if holidays is not None and day.toordinal() - _EPOCH_DAY in closed_days(*holidays, day.year):
        return [Collision("holiday", day.isoformat(), f"A public holiday: {day.isoformat()}")]
    return []
