"""Connected calendars, what is written where, and when one is looked at again; pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from urllib.parse import urlencode
from uuid import UUID

from server.integrations.calendars.protocol import Channel, Choice, Credentials, Entry, Written, entry_id

SPAN_BEHIND: Final = timedelta(days=1)  # busy times that have begun still matter
SPAN_AHEAD: Final = timedelta(days=400)  # further than any booking window
SPAN_RENEWED: Final = timedelta(days=30)  # a span is read anew when so much of it has passed
POLL: Final = timedelta(minutes=15)  # without push: how stale a busy time may be
POLL_WATCHED: Final = timedelta(hours=1)  # with push, should a message get lost
CHANNEL_FOR: Final = timedelta(days=7)  # what we ask for; Google gives less if it likes
RENEW_BEFORE: Final = timedelta(days=1)
CHANNEL_AGAIN: Final = timedelta(hours=6)  # after a refusal, e.g. of a domain that is not verified
LEASE: Final = timedelta(seconds=120)
WORK_SECONDS: Final = 90.0  # on one calendar at a time; less than LEASE
HANDSHAKE_FOR: Final = timedelta(minutes=15)  # to read a consent page
MOST: Final = 10  # calendars of one person
FIRST_DELAY: Final = timedelta(seconds=15)
LONGEST_DELAY: Final = timedelta(hours=1)


class Provider(StrEnum):
    GOOGLE = "google"
    MICROSOFT = "microsoft"
    CALDAV = "caldav"


SERVICE_NAMES: Final = {
    Provider.GOOGLE: "Google",
    Provider.MICROSOFT: "Microsoft 365",
    Provider.CALDAV: "CalDAV",
}


class ConnectionStatus(StrEnum):
    """active -> broken (the permission is gone) -> active (given again); either -> leaving -> forgotten."""

    ACTIVE = "active"
    BROKEN = "broken"
    LEAVING = "leaving"


@dataclass(frozen=True, slots=True)
class Connection:
    """A connected calendar. ``sealed`` opens it, see `server.base.sealing`."""

    id: UUID
    user_id: UUID
    provider: Provider
    account: str
    status: ConnectionStatus
    sealed: bytes
    cursor: str | None
    span_until: datetime | None
    synced_at: datetime | None
    attempts: int
    error: str | None
    channel: Channel | None
    channel_tried_at: datetime | None
    created_at: datetime

    @property
    def source(self) -> str:
        """What its busy times are filed under."""
        return f"{self.provider}:{self.id}"

    def needs_channel(self, now: datetime) -> bool:
        """It has none that lasts, and the calendar has not refused one a moment ago."""
        if self.channel is not None:
            return self.channel.expires_at - RENEW_BEFORE <= now
        return self.channel_tried_at is None or self.channel_tried_at + CHANNEL_AGAIN <= now

    def outlived(self, now: datetime) -> bool:
        """So much of the span has passed that it is time for a new one, which needs a whole reading."""
        return self.span_until is None or self.span_until - now <= SPAN_AHEAD - SPAN_RENEWED

    def next_look(self, now: datetime) -> datetime:
        """After a look that went well."""
        watched = self.channel is not None and self.channel.expires_at > now
        return now + (POLL_WATCHED if watched else POLL)


@dataclass(frozen=True, slots=True)
class Task:
    """A session whose event is not yet as it should be. ``event`` is what we wrote last."""

    session_id: UUID
    wanted: int
    present: bool
    event: Written | None
    start: datetime
    end: datetime
    topic: str
    other: str  # whom the calendar's owner meets


def title_of(topic: str, other: str) -> str:
    """Of a session in the calendar of somebody who meets ``other``."""
    return f"{topic}: {other}" if topic else f"Mentoring session with {other}"


def entry_of(task: Task, public_url: str) -> Entry:
    """The event that should stand in the calendar."""
    url = f"{public_url}/sessions/{task.session_id}"
    title = title_of(task.topic, task.other)
    return Entry(entry_id(task.session_id.hex), task.start, task.end, title, f"Join at {url}", url)


def backoff(attempts: int, asked: timedelta | None, dice: random.Random) -> timedelta:
    """The pause after the ``attempts``-th failure in a row: doubling from 15 s to 1 h, half of it random, and never
    less than what the calendar asked for."""
    doublings: int = 2 ** min(attempts - 1, 16)
    ceiling = min(FIRST_DELAY * doublings, LONGEST_DELAY)
    return max(ceiling / 2 + ceiling / 2 * dice.random(), asked or timedelta())


def written_down(credentials: Credentials) -> str:
    """As JSON, for sealing."""
    ends = credentials.expires_at
    return json.dumps(
        {
            "access_token": credentials.access_token,
            "refresh_token": credentials.refresh_token,
            "expires_at": ends.isoformat() if ends else None,
            "url": credentials.url,
            "username": credentials.username,
            "password": credentials.password,
            "write_to": credentials.write_to,
            "choices": [[it.url, it.name, it.writable] for it in credentials.choices],
        }
    )


def read_back(text: str) -> Credentials:
    """The inverse of `written_down`."""
    data = json.loads(text)
    ends = data.pop("expires_at")
    data["choices"] = tuple(Choice(*it) for it in data.get("choices", ()))
    return Credentials(expires_at=datetime.fromisoformat(ends) if ends else None, **data)


@dataclass(frozen=True, slots=True)
class CalendarBroken:
    """We lost the permission for a calendar; its owner is told."""

    KIND: ClassVar[str] = "calendar_broken"
    session_id: UUID | None
    at: datetime
    connection_id: UUID
    user_id: UUID
    provider: Provider
    account: str


def google_link(title: str, text: str, url: str, start: datetime, end: datetime) -> str:
    """Google's form for a new event, filled in."""
    return "https://calendar.google.com/calendar/render?" + urlencode(
        {
            "action": "TEMPLATE",
            "text": title,
            "dates": f"{start:%Y%m%dT%H%M%SZ}/{end:%Y%m%dT%H%M%SZ}",
            "details": text,
            "location": url,
        }
    )


def outlook_link(title: str, text: str, url: str, start: datetime, end: datetime) -> str:
    """Outlook's, on the web."""
    return "https://outlook.live.com/calendar/0/deeplink/compose?" + urlencode(
        {
            "path": "/calendar/action/compose",
            "rru": "addevent",
            "subject": title,
            "startdt": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "enddt": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "body": text,
            "location": url,
        }
    )
