"""A session as an iCalendar object (RFC 5545) for calendars that understand invitations (RFC 5546)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from icalendar import Alarm, Calendar, Event, vCalAddress, vText

from server.notifications.model import Attendee, Occasion

PRODID = "-//Visavis//Sessions//EN"
ALARM_BEFORE = timedelta(minutes=10)


class Method(StrEnum):
    REQUEST = "REQUEST"
    CANCEL = "CANCEL"


def uid(session_id: UUID) -> str:
    """The same for every revision of a session: that is how a calendar knows what to move or remove."""
    return f"session-{session_id}@visavis"


def invitation(occasion: Occasion, method: Method, organizer: Attendee, now: datetime) -> str:
    """The iCalendar text, lines ended by CRLF and folded at 75 octets.

    SEQUENCE is the booking's revision: it rises with every change of time or state, so the latest wins
    (RFC 5546 section 2.1.4). Instants are in UTC and need no VTIMEZONE.
    """
    event = Event()
    event.add("uid", uid(occasion.session_id))
    event.add("sequence", occasion.revision)
    event.add("dtstamp", now.astimezone(UTC))
    event.add("dtstart", occasion.start.astimezone(UTC))
    event.add("dtend", occasion.end.astimezone(UTC))
    event.add("summary", _summary(occasion))
    event.add("description", f"Join at {occasion.url}")
    event.add("url", occasion.url)
    event.add("location", occasion.url)
    match method:
        case Method.CANCEL:
            event.add("status", "CANCELLED")
        case Method.REQUEST:
            event.add("status", "CONFIRMED" if occasion.confirmed else "TENTATIVE")
    event.add("organizer", _address(organizer), encode=False)
    for person in (occasion.mentor, occasion.mentee):
        attendee = _address(person)
        attendee.params["ROLE"] = vText("REQ-PARTICIPANT")
        attendee.params["PARTSTAT"] = vText("ACCEPTED" if occasion.confirmed else "NEEDS-ACTION")
        attendee.params["RSVP"] = vText("FALSE")
        event.add("attendee", attendee, encode=False)
    if method is Method.REQUEST:
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("description", _summary(occasion))
        alarm.add("trigger", -ALARM_BEFORE)
        event.add_component(alarm)
    calendar = Calendar()
    calendar.add("prodid", PRODID)
    calendar.add("version", "2.0")
    calendar.add("method", str(method))
    calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text


def _summary(occasion: Occasion) -> str:
    names = f"{occasion.mentor.name} and {occasion.mentee.name}"
    return f"{occasion.topic}: {names}" if occasion.topic else f"Mentoring session: {names}"


def _address(person: Attendee) -> vCalAddress:
    address = vCalAddress(f"mailto:{person.email}")
    # A double quote cannot be written inside a parameter value at all (RFC 5545 section 3.2).
    address.params["CN"] = vText("".join(c for c in person.name if c != '"' and c.isprintable()))
    return address
