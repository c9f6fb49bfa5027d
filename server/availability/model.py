"""A mentor's rules in wall time, their form in JSON, and every fault of it at once; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple
from uuid import UUID

from server.base.errors import FieldError, Invalid
from server.people.model import zone_faults

MAX_SPAN: Final = timedelta(days=92)  # of one question for slots
MAX_WINDOWS: Final = 24  # in one day
MAX_OVERRIDES: Final = 400  # a year and a bit
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Window(NamedTuple):
    """[start, end) in minutes of the wall clock since midnight; 1440 is the midnight at the end."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Availability:
    """SURFACE's body of ``PUT /me/availability``.

    ``weekly`` holds (weekday, window) with Monday 0, sorted; a date in ``overrides`` ignores it, with no windows it
    is a day off. Everything named minutes is minutes, days are days.
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


class Slot(NamedTuple):
    """A bookable time [start, end) in Unix seconds."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MentorCard:
    """A mentor in the directory; ``rating`` is None until there are ratings."""

    id: UUID
    name: str
    headline: str
    topics: tuple[str, ...]
    languages: tuple[str, ...]
    timezone: str
    price_tokens: int
    rating: float | None
    next_slot: Slot | None


def with_slot(card: MentorCard, slot: Slot | None) -> MentorCard:
    return replace(card, next_slot=slot)


def in_order(rules: Availability) -> Availability:
    """The same rules as they come back from the store: windows and dates sorted."""
    return replace(
        rules,
        weekly=tuple(sorted(rules.weekly)),
        overrides=tuple(sorted((day, tuple(sorted(windows))) for day, windows in rules.overrides)),
    )


# The whole numbers of the rules: name -> (lowest, highest, may be None); the schema checks the same.
_NUMBERS: Final[Mapping[str, tuple[int, int, bool]]] = {
    "slot_minutes": (5, 480, False),
    "buffer_before_minutes": (0, 240, False),
    "buffer_after_minutes": (0, 240, False),
    "min_notice_minutes": (0, 43_200, False),
    "booking_window_days": (1, 365, False),
    "max_per_day": (1, 96, True),
}


def faults(rules: Availability) -> list[FieldError]:
    """Everything that is wrong with the rules, at once; windows are named as in the JSON."""
    found = zone_faults("timezone", rules.timezone)
    for name, (low, high, optional) in _NUMBERS.items():
        number = getattr(rules, name)
        if not (optional and number is None) and not low <= number <= high:
            found.append(FieldError(name, "out_of_range", f"From {low} to {high}."))
    for weekday in range(7):
        found += _window_faults("weekly", [window for day, window in rules.weekly if day == weekday])
    if any(not 0 <= day <= 6 for day, _ in rules.weekly):
        found.append(FieldError("weekly", "bad_weekday", "Weekdays go from 0 (Monday) to 6."))
    if len(rules.overrides) > MAX_OVERRIDES:
        found.append(FieldError("overrides", "too_many", f"At most {MAX_OVERRIDES} dates."))
    if len({day for day, _ in rules.overrides}) < len(rules.overrides):
        found.append(FieldError("overrides", "repeated_date", "Name each date once."))
    for day, windows in rules.overrides:
        found += _window_faults(f"overrides.{day.isoformat()}", windows)
    return found


def _window_faults(field: str, windows: Sequence[Window]) -> list[FieldError]:
    """Of the windows of one day."""
    if len(windows) > MAX_WINDOWS:
        return [FieldError(field, "too_many", f"At most {MAX_WINDOWS} windows a day.")]
    found = []
    if any(not (0 <= window.start <= 1439 and 1 <= window.end <= 1440) for window in windows):
        found.append(FieldError(field, "bad_time", "Times go from 00:00 to 24:00."))
    if any(window.end <= window.start for window in windows):
        found.append(FieldError(field, "end_before_start", "A window must end after it starts."))
    ordered = sorted(windows)
    if any(later.start < earlier.end for earlier, later in pairwise(ordered)):
        found.append(FieldError(field, "overlapping_windows", "Windows of one day must not overlap."))
    return found


def parse(body: Mapping[str, Any]) -> Availability:
    """The rules out of SURFACE's JSON. Raises ``Invalid`` with all faults, unknown fields among them."""
    found = [
        FieldError(name, "unknown_field", "There is no such field.")
        for name in body
        if name not in ("timezone", "weekly", "overrides", *_NUMBERS)
    ]
    numbers: dict[str, Any] = {}
    for name, (_, _, optional) in _NUMBERS.items():
        if name in body:
            numbers[name] = body[name]
            if not _whole(body[name]) and not (optional and body[name] is None):
                found.append(FieldError(name, "bad_number", "Give a whole number."))
    timezone = body.get("timezone")
    if not isinstance(timezone, str):
        found.append(FieldError("timezone", "required", "Name an IANA time zone such as Europe/Berlin."))
    weekly = _weekly(body.get("weekly", []), found)
    overrides = _overrides(body.get("overrides", []), found)
    if found:
        raise Invalid(found)
    rules = Availability(str(timezone), tuple(sorted(weekly)), tuple(sorted(overrides)), **numbers)
    if found := faults(rules):
        raise Invalid(found)
    return rules


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _weekly(items: object, found: list[FieldError]) -> list[tuple[int, Window]]:
    if not isinstance(items, list):
        found.append(FieldError("weekly", "bad_list", "Give a list of {weekday, start, end}."))
        return []
    weekly = []
    for index, item in enumerate(items):
        field = f"weekly.{index}"
        window = _window(item, field, found)
        weekday = item.get("weekday") if isinstance(item, dict) else None
        if not isinstance(weekday, int) or isinstance(weekday, bool) or not 0 <= weekday <= 6:
            found.append(FieldError(f"{field}.weekday", "bad_weekday", "Weekdays go from 0 (Monday) to 6."))
        elif window is not None:
            weekly.append((weekday, window))
    return weekly


def _overrides(items: object, found: list[FieldError]) -> list[tuple[date, tuple[Window, ...]]]:
    if not isinstance(items, list):
        found.append(FieldError("overrides", "bad_list", "Give a list of {date, windows}."))
        return []
    overrides = []
    for index, item in enumerate(items):
        field = f"overrides.{index}"
        day = _date(item.get("date")) if isinstance(item, dict) else None
        windows = item.get("windows") if isinstance(item, dict) else None
        if day is None:
            found.append(FieldError(f"{field}.date", "bad_date", "Give a date such as 2026-12-24."))
        if not isinstance(windows, list):
            found.append(
                FieldError(f"{field}.windows", "bad_list", "Give a list of {start, end}; empty is a day off.")
            )
            continue
        read = [_window(window, f"{field}.windows.{n}", found) for n, window in enumerate(windows)]
        if day is not None:
            overrides.append((day, tuple(sorted(window for window in read if window is not None))))
    return overrides


def _window(item: object, field: str, found: list[FieldError]) -> Window | None:
    if not isinstance(item, dict):
        found.append(FieldError(field, "bad_window", "Give a start and an end."))
        return None
    start, end = _minute(item.get("start")), _minute(item.get("end"))
    for name, minute in (("start", start), ("end", end)):
        if minute is None:
            found.append(FieldError(f"{field}.{name}", "bad_time", "Give a time such as 09:00."))
    return None if start is None or end is None else Window(start, end)


def _minute(text: object) -> int | None:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        return None
    return int(text[:2]) * 60 + int(text[3:])


def _date(text: object) -> date | None:
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def document(rules: Availability) -> dict[str, Any]:
    """The rules as SURFACE's JSON; `parse` is the inverse."""
    return {
        "timezone": rules.timezone,
        "weekly": [{"weekday": day, **_clock_times(window)} for day, window in rules.weekly],
        "overrides": [
            {"date": day.isoformat(), "windows": [_clock_times(window) for window in windows]}
            for day, windows in rules.overrides
        ],
        **{name: getattr(rules, name) for name in _NUMBERS},
    }


def _clock_times(window: Window) -> dict[str, str]:
    return {name: f"{minute // 60:02}:{minute % 60:02}" for name, minute in window._asdict().items()}
