"""A mentor's rules as JSON: read with every fault at once, and written; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from server.availability.model import (
    MIDNIGHT,
    NUMBERS,
    Absence,
    Availability,
    HolidayCalendar,
    Travel,
    Window,
    faults,
    in_order,
)
from server.base.errors import FieldError, Invalid

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_WALL = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d")
_LISTS: Final = ("weekly", "overrides", "lengths_minutes", "travel", "absences")


def parse(body: Mapping[str, Any]) -> Availability:
    """The rules out of SURFACE's JSON. Raises ``Invalid`` with all faults, unknown fields among them."""
    found = [
        FieldError(name, "unknown_field", "There is no such field.")
        for name in body
        if name not in ("timezone", "holidays", *_LISTS, *NUMBERS)
    ]
    numbers: dict[str, Any] = {}
    for name, (_, _, optional) in NUMBERS.items():
        if name in body:
            numbers[name] = body[name]
            if not _whole(body[name]) and not (optional and body[name] is None):
                found.append(FieldError(name, "bad_number", "Give a whole number."))
    timezone = body.get("timezone")
    if not isinstance(timezone, str):
        found.append(FieldError("timezone", "required", "Name an IANA time zone such as Europe/Berlin."))
    weekly = _weekly(body.get("weekly", []), found)
    overrides = _overrides(body.get("overrides", []), found)
    lengths = _lengths(body.get("lengths_minutes", []), found)
    calendar = _calendar(body.get("holidays"), found)
    travel = _travel(body.get("travel", []), found)
    absences = _absences(body.get("absences", []), found)
    if found:
        raise Invalid(found)
    rules = Availability(
        str(timezone),
        tuple(weekly),
        tuple(overrides),
        lengths_minutes=tuple(lengths),
        holidays=calendar,
        travel=tuple(travel),
        absences=tuple(absences),
        **numbers,
    )
    if found := faults(rules):
        raise Invalid(found)
    return in_order(rules)


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
    """``ends_next_day`` says that the end is meant on the day after, so that a slip (17:00 to 09:00) is told as one."""
    if not isinstance(item, dict):
        found.append(FieldError(field, "bad_window", "Give a start and an end."))
        return None
    start, end = _minute(item.get("start")), _minute(item.get("end"))
    for name, minute in (("start", start), ("end", end)):
        if minute is None:
            found.append(FieldError(f"{field}.{name}", "bad_time", "Give a time such as 09:00."))
    overnight = item.get("ends_next_day", False)
    if not isinstance(overnight, bool):
        found.append(FieldError(f"{field}.ends_next_day", "bad_boolean", "Give true or false."))
        return None
    if start is None or end is None:
        return None
    return Window(start, end + MIDNIGHT if overnight else end)


def _lengths(items: object, found: list[FieldError]) -> list[int]:
    if not isinstance(items, list) or not all(_whole(item) for item in items):
        found.append(FieldError("lengths_minutes", "bad_list", "Give a list of whole numbers."))
        return []
    return items


def _calendar(item: object, found: list[FieldError]) -> HolidayCalendar | None:
    if item is None:
        return None
    if not isinstance(item, dict) or not isinstance(item.get("country"), str):
        found.append(FieldError("holidays", "bad_calendar", "Give {country, subdivision?}, or null."))
        return None
    subdivision = item.get("subdivision")
    if subdivision is not None and not isinstance(subdivision, str):
        found.append(FieldError("holidays.subdivision", "bad_text", "Give a text, or null."))
        return None
    return HolidayCalendar(item["country"].upper(), subdivision or None)


def _travel(items: object, found: list[FieldError]) -> list[Travel]:
    if not isinstance(items, list):
        found.append(FieldError("travel", "bad_list", "Give a list of {from, to, timezone}."))
        return []
    travel = []
    for index, item in enumerate(items):
        given = item if isinstance(item, dict) else {}
        first, last, zone = _date(given.get("from")), _date(given.get("to")), given.get("timezone")
        for name, day in (("from", first), ("to", last)):
            if day is None:
                found.append(
                    FieldError(f"travel.{index}.{name}", "bad_date", "Give a date such as 2026-12-24.")
                )
        if not isinstance(zone, str):
            found.append(
                FieldError(
                    f"travel.{index}.timezone", "required", "Name an IANA time zone such as Asia/Tokyo."
                )
            )
        elif first is not None and last is not None:
            travel.append(Travel(first, last, zone))
    return travel


def _absences(items: object, found: list[FieldError]) -> list[Absence]:
    if not isinstance(items, list):
        found.append(FieldError("absences", "bad_list", "Give a list of {start, end, reason?}."))
        return []
    absences = []
    for index, item in enumerate(items):
        given = item if isinstance(item, dict) else {}
        start, end, reason = _wall(given.get("start")), _wall(given.get("end")), given.get("reason", "")
        for name, moment in (("start", start), ("end", end)):
            if moment is None:
                found.append(
                    FieldError(
                        f"absences.{index}.{name}", "bad_time", "Give a wall time such as 2026-12-24T12:00."
                    )
                )
        if not isinstance(reason, str):
            found.append(FieldError(f"absences.{index}.reason", "bad_text", "Give a text."))
        elif start is not None and end is not None:
            absences.append(Absence(start, end, reason.strip()))
    return absences


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


def _wall(text: object) -> datetime | None:
    if not isinstance(text, str) or not _WALL.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def document(rules: Availability) -> dict[str, Any]:
    """The rules as SURFACE's JSON; `parse` is the inverse."""
    return {
        "timezone": rules.timezone,
        "weekly": [{"weekday": day, **clock_times(window)} for day, window in rules.weekly],
        "overrides": [
            {"date": day.isoformat(), "windows": [clock_times(window) for window in windows]}
            for day, windows in rules.overrides
        ],
        **{name: getattr(rules, name) for name in NUMBERS},
        "lengths_minutes": list(rules.lengths_minutes),
        "holidays": None if rules.holidays is None else rules.holidays._asdict(),
        "travel": [
            {"from": span.first.isoformat(), "to": span.last.isoformat(), "timezone": span.timezone}
            for span in rules.travel
        ],
        "absences": [
            {
                "start": absence.start.isoformat(timespec="minutes"),
                "end": absence.end.isoformat(timespec="minutes"),
                "reason": absence.reason,
            }
            for absence in rules.absences
        ],
    }


def clock_times(window: Window) -> dict[str, Any]:
    """{start, end}, with ends_next_day only where it is true: 24:00 is still the same day."""
    over = window.end > MIDNIGHT
    end = window.end - MIDNIGHT if over else window.end
    times: dict[str, Any] = {
        name: f"{minute // 60:02}:{minute % 60:02}"
        for name, minute in (("start", window.start), ("end", end))
    }
    return times | {"ends_next_day": True} if over else times
