"""A mentor's rules in wall time and every fault of them at once; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple
from uuid import UUID

from server.availability.closed import calendar_faults
from server.base.errors import FieldError
from server.people.model import text_faults, zone_faults

MAX_SPAN: Final = timedelta(days=92)  # of one question for slots
MAX_WINDOWS: Final = 24  # in one day
MAX_OVERRIDES: Final = 400  # a year and a bit
MAX_LENGTHS: Final = 8
MAX_TRAVELS: Final = 50
MAX_ABSENCES: Final = 100
MAX_ABSENCE: Final = timedelta(days=400)
MAX_REASON: Final = 200
MIDNIGHT: Final = 1440


class Window(NamedTuple):
    """[start, end) in minutes of the wall clock since midnight; 1440 is the midnight at the end, and what lies beyond
    it is the next day: a window from 22:00 to 02:00 is (1320, 1560). At most a whole day long."""

    start: int
    end: int


class Travel(NamedTuple):
    """From ``first`` to ``last``, both included, the wall clock that counts is that of another zone."""

    first: date
    last: date
    timezone: str


class Absence(NamedTuple):
    """Out of office: [start, end) in wall time of the mentor's own zone. Nothing is offered, nothing is deleted."""

    start: datetime  # without a zone
    end: datetime
    reason: str


class HolidayCalendar(NamedTuple):
    """Whose public holidays are days off: an ISO 3166-1 country and, where it matters, its ISO 3166-2 part."""

    country: str
    subdivision: str | None


@dataclass(frozen=True, slots=True)
class Availability:
    """SURFACE's body of ``PUT /me/availability``.

    ``weekly`` holds (weekday, window) with Monday 0, sorted; a date in ``overrides`` ignores it, with no windows it
    is a day off. A public holiday is a day off unless the date has an override. ``lengths`` are the session lengths
    that can be booked, ``slot_minutes`` the one meant when nobody says; sessions start every
    ``start_increment_minutes`` from the beginning of a window (None: every session length). The limits count the
    mentor's days, ISO weeks and months in her own zone. ``capacity`` is the number of seats of a session.
    Everything named minutes is minutes, days are days.
    """

    timezone: str
    weekly: tuple[tuple[int, Window], ...] = ()
    overrides: tuple[tuple[date, tuple[Window, ...]], ...] = ()
    slot_minutes: int = 60
    buffer_before_minutes: int = 0
    buffer_after_minutes: int = 0
    min_notice_minutes: int = 0
    booking_window_days: int = 60
    max_per_day: int | None = None
    lengths_minutes: tuple[int, ...] = ()  # besides slot_minutes
    start_increment_minutes: int | None = None
    max_minutes_per_day: int | None = None
    max_per_week: int | None = None
    max_minutes_per_week: int | None = None
    max_per_month: int | None = None
    max_minutes_per_month: int | None = None
    capacity: int = 1
    holidays: HolidayCalendar | None = None
    travel: tuple[Travel, ...] = ()
    absences: tuple[Absence, ...] = ()

    @property
    def lengths(self) -> tuple[int, ...]:
        """Every length that can be booked, in minutes, the usual one first."""
        return (self.slot_minutes, *(n for n in self.lengths_minutes if n != self.slot_minutes))

    @property
    def counts_beyond_the_day(self) -> bool:
        """Whether a slot may be closed by a session weeks away from it."""
        limits = (
            self.max_per_week,
            self.max_minutes_per_week,
            self.max_per_month,
            self.max_minutes_per_month,
        )
        return any(limit is not None for limit in limits)


class Slot(NamedTuple):
    """A bookable time [start, end) in Unix seconds."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MentorCard:
    """A mentor in the directory."""

    id: UUID
    name: str
    headline: str
    topics: tuple[str, ...]
    languages: tuple[str, ...]
    timezone: str
    price_tokens: int
    next_slot: Slot | None


def with_slot(card: MentorCard, slot: Slot | None) -> MentorCard:
    return replace(card, next_slot=slot)


def in_order(rules: Availability) -> Availability:
    """The same rules as they come back from the store: windows and dates sorted."""
    return replace(
        rules,
        weekly=tuple(sorted(rules.weekly)),
        overrides=tuple(sorted((day, tuple(sorted(windows))) for day, windows in rules.overrides)),
        lengths_minutes=tuple(sorted(set(rules.lengths_minutes) - {rules.slot_minutes})),
        travel=tuple(sorted(rules.travel)),
        absences=tuple(sorted(rules.absences)),
    )


# The whole numbers of the rules: name -> (lowest, highest, may be None); the schema checks the same.
NUMBERS: Final[Mapping[str, tuple[int, int, bool]]] = {
    "slot_minutes": (5, 480, False),
    "buffer_before_minutes": (0, 240, False),
    "buffer_after_minutes": (0, 240, False),
    "min_notice_minutes": (0, 43_200, False),
    "booking_window_days": (1, 365, False),
    "max_per_day": (1, 96, True),
    "start_increment_minutes": (5, 480, True),
    "max_minutes_per_day": (5, 1_440, True),
    "max_per_week": (1, 672, True),
    "max_minutes_per_week": (5, 10_080, True),
    "max_per_month": (1, 2_976, True),
    "max_minutes_per_month": (5, 44_640, True),
    "capacity": (1, 100, False),
}


def faults(rules: Availability) -> list[FieldError]:
    """Everything that is wrong with the rules, at once; windows are named as in the JSON."""
    found = zone_faults("timezone", rules.timezone)
    for name, (low, high, optional) in NUMBERS.items():
        number = getattr(rules, name)
        if not (optional and number is None) and not low <= number <= high:
            found.append(FieldError(name, "out_of_range", f"From {low} to {high}."))
    found += _length_faults(rules.lengths_minutes)
    for weekday in range(7):
        found += _window_faults("weekly", [window for day, window in rules.weekly if day == weekday])
    if any(not 0 <= day <= 6 for day, _ in rules.weekly):
        found.append(FieldError("weekly", "bad_weekday", "Weekdays go from 0 (Monday) to 6."))
    elif not found:
        found += _night_faults(rules.weekly)
    if len(rules.overrides) > MAX_OVERRIDES:
        found.append(FieldError("overrides", "too_many", f"At most {MAX_OVERRIDES} dates."))
    if len({day for day, _ in rules.overrides}) < len(rules.overrides):
        found.append(FieldError("overrides", "repeated_date", "Name each date once."))
    for day, windows in rules.overrides:
        found += _window_faults(f"overrides.{day.isoformat()}", windows)
    if rules.holidays is not None:
        found += calendar_faults(*rules.holidays)
    return found + _travel_faults(rules.travel) + _absence_faults(rules.absences)


def _length_faults(lengths: Sequence[int]) -> list[FieldError]:
    low, high, _ = NUMBERS["slot_minutes"]
    if len(lengths) > MAX_LENGTHS:
        return [FieldError("lengths_minutes", "too_many", f"At most {MAX_LENGTHS} lengths.")]
    if any(not low <= length <= high for length in lengths):
        return [FieldError("lengths_minutes", "out_of_range", f"From {low} to {high}.")]
    return []


def _window_faults(field: str, windows: Sequence[Window]) -> list[FieldError]:
    """Of the windows of one day."""
    if len(windows) > MAX_WINDOWS:
        return [FieldError(field, "too_many", f"At most {MAX_WINDOWS} windows a day.")]
    found = []
    if any(not (0 <= window.start < MIDNIGHT and 1 <= window.end <= 2 * MIDNIGHT) for window in windows):
        found.append(FieldError(field, "bad_time", "Times go from 00:00 to 24:00."))
    if any(window.end <= window.start for window in windows):
        found.append(FieldError(field, "end_before_start", "A window must end after it starts."))
    if any(window.end > window.start + MIDNIGHT for window in windows):
        found.append(FieldError(field, "window_too_long", "A window is at most a day long."))
    ordered = sorted(windows)
    if any(later.start < earlier.end for earlier, later in pairwise(ordered)):
        found.append(FieldError(field, "overlapping_windows", "Windows of one day must not overlap."))
    return found


def _night_faults(weekly: Sequence[tuple[int, Window]]) -> list[FieldError]:
    """A window over midnight must not reach into the next day's first one."""
    first = {day: min(w.start for d, w in weekly if d == day) for day, _ in weekly}
    for day, window in weekly:
        if window.end - MIDNIGHT > first.get((day + 1) % 7, 2 * MIDNIGHT):
            return [
                FieldError("weekly", "overlapping_windows", "A night's window reaches into the next day's.")
            ]
    return []


def _travel_faults(travel: Sequence[Travel]) -> list[FieldError]:
    if len(travel) > MAX_TRAVELS:
        return [FieldError("travel", "too_many", f"At most {MAX_TRAVELS} spans.")]
    found = []
    for index, span in enumerate(travel):
        found += zone_faults(f"travel.{index}.timezone", span.timezone)
        if span.last < span.first:
            found.append(
                FieldError(f"travel.{index}.to", "end_before_start", "The end lies before the start.")
            )
    if any(later.first <= earlier.last for earlier, later in pairwise(sorted(travel))):
        found.append(FieldError("travel", "overlapping_spans", "One can only be in one place at a time."))
    return found


def _absence_faults(absences: Sequence[Absence]) -> list[FieldError]:
    if len(absences) > MAX_ABSENCES:
        return [FieldError("absences", "too_many", f"At most {MAX_ABSENCES} spans.")]
    found = []
    for index, absence in enumerate(absences):
        field = f"absences.{index}"
        if absence.end <= absence.start:
            found.append(FieldError(f"{field}.end", "end_before_start", "The end must lie after the start."))
        elif absence.end - absence.start > MAX_ABSENCE:
            found.append(FieldError(f"{field}.end", "span_too_long", f"At most {MAX_ABSENCE.days} days."))
        found += text_faults(f"{field}.reason", absence.reason, longest=MAX_REASON)
    return found
