"""Busy times of iCalendar texts (RFC 5545): repeated events by their occurrences, and what takes no time left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from icalendar import Calendar, Component
from recurring_ical_events import of

from server.integrations.calendars.protocol import Busy, CalendarRefused, is_ours

MOST: Final = 20_000  # occurrences of one account in one reading; every quarter of an hour for 200 days
# No calendar's form makes these, and expanding them would keep a processor busy for minutes.
TOO_OFTEN: Final = frozenset({"SECONDLY", "MINUTELY"})


@dataclass(frozen=True, slots=True)
class Text:
    """One calendar object: an event with all its overrides."""

    href: str
    ical: str


def busy_of(texts: Iterable[Text], frm: datetime, to: datetime, zone: ZoneInfo, owner: str) -> list[Busy]:
    """What takes time in [frm, to). ``zone`` is that of whole days and of times without a zone; ``owner`` may have
    declined. Objects that are no iCalendar take no time. Raises `CalendarRefused` beyond MOST."""
    found: list[Busy] = []
    for text in texts:
        try:
            calendar = Calendar.from_ical(text.ical)
        except (ValueError, KeyError, IndexError, AttributeError):
            continue
        if any(is_ours(str(event.get("UID", ""))) or _too_often(event) for event in calendar.walk("VEVENT")):
            continue
        found.extend(_occurrences(calendar, text.href, frm, to, zone, owner.casefold()))
        if len(found) > MOST:
            raise CalendarRefused("the calendar has too many events")
    return found


def _occurrences(
    calendar: Any, href: str, frm: datetime, to: datetime, zone: ZoneInfo, owner: str
) -> Iterable[Busy]:
    try:
        # A day more on both sides: whole days and floating times are somebody's own, up to 14 hours from UTC.
        events = of(calendar, skip_bad_series=True).between(frm - timedelta(days=1), to + timedelta(days=1))
    except (ValueError, TypeError, KeyError, OverflowError):
        return  # a rule that nobody understands
    for event in events:
        start, end = _instant(event.get("DTSTART"), zone), _instant(event.get("DTEND"), zone)
        if start is None or end is None or end <= start or end <= frm or start >= to:
            continue
        if not _free(event, owner):
            yield Busy(f"{href}#{start:%Y%m%dT%H%M%SZ}", start, end, str(event.get("SUMMARY") or "")[:200])


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


def _too_often(event: Component) -> bool:
    rules = event.get("RRULE", [])
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
            return datetime.combine(at, time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return None
