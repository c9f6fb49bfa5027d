"""Busy times of iCalendar texts (RFC 5545): repeated events by their occurrences, and what takes no time left out."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component
from recurring_ical_events import of

from server.integrations.calendars.protocol import Busy, CalendarRefused, is_ours

MOST: Final = 20_000  # occurrences of one account in one reading; every quarter of an hour for 200 days
# No calendar's form makes these, and expanding them keeps a processor busy: 400 days by the hour for 8 s.
TOO_OFTEN: Final = frozenset({"SECONDLY", "MINUTELY", "HOURLY"})
FIRST_YEAR: Final = 1900  # older series are counted through from their first day
# A daily rule that never comes true ("30 February") is looked for until the year 9999, for 22 s; one is borne.
BUDGET: Final = 20.0  # seconds of one reading, looked at before each event
# What two libraries say to text from outside.
NONSENSE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Text:
    """One calendar object: an event with all its overrides."""

    href: str
    ical: str


def busy_of(texts: Iterable[Text], frm: datetime, to: datetime, zone: ZoneInfo, owner: str) -> list[Busy]:
    """What takes time in [frm, to). ``zone`` is that of whole days and of times without a zone; ``owner`` may have
    declined. Objects that are no iCalendar take no time. Raises `CalendarRefused` beyond MOST and BUDGET."""
    found: list[Busy] = []
    began = time.monotonic()
    for text in texts:
        if time.monotonic() - began > BUDGET:
            raise CalendarRefused("the calendar's repeated events take too long to work out")
        try:
            found.extend(_occurrences(text, frm, to, zone, owner.casefold()))
        except NONSENSE:
            continue  # one event that is not understood hides no other
        if len(found) > MOST:
            raise CalendarRefused("the calendar has too many events")
    return found


def _occurrences(text: Text, frm: datetime, to: datetime, zone: ZoneInfo, owner: str) -> list[Busy]:
    calendar = Calendar.from_ical(text.ical)
    if any(is_ours(str(event.get("UID", ""))) or _endless(event) for event in calendar.walk("VEVENT")):
        return []
    found: list[Busy] = []
    # A day more on both sides: whole days and floating times are somebody's own, up to 14 hours from UTC.
    for event in of(calendar, skip_bad_series=True).between(frm - timedelta(days=1), to + timedelta(days=1)):
        start, end = _instant(event.get("DTSTART"), zone), _instant(event.get("DTEND"), zone)
        if start is None or end is None or end <= start or end <= frm or start >= to:
            continue
        if not _free(event, owner):
            title = str(event.get("SUMMARY") or "")[:200]
            found.append(Busy(f"{text.href}#{start:%Y%m%dT%H%M%SZ}", start, end, title))
    return found


def _free(event: Component, owner: str) -> bool:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        return True
    if str(event.get("TRANSP", "")).upper() == "TRANSPARENT":
        return True
    attendees = event.get("ATTENDEE", [])
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        whom = str(attendee).casefold().removeprefix("mailto:")
        declined = str(getattr(attendee, "params", {}).get("PARTSTAT", "")).upper() == "DECLINED"
        if declined and whom == owner:
            return True
    return False


def _endless(event: Component) -> bool:
    """Whether expanding it is more than anybody's calendar needs."""
    rules = event.get("RRULE", [])
    first = getattr(event.get("DTSTART"), "dt", None)
    if rules and isinstance(first, date) and first.year < FIRST_YEAR:
        return True
    for rule in rules if isinstance(rules, list) else [rules]:
        if any(str(it).upper() in TOO_OFTEN for it in rule.get("FREQ", [])):
            return True
    return False


def _instant(value: Any, zone: ZoneInfo) -> datetime | None:
    at = getattr(value, "dt", None)
    try:
        if isinstance(at, datetime):
            return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
        if isinstance(at, date):
            return datetime.combine(at, clock_time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None
