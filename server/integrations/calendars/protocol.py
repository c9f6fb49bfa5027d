"""What every other calendar can do for us, in plain values, and the ways in which it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

TIMEOUT = 10.0  # seconds for each request; a calendar that needs longer is treated as away


class CalendarError(Exception):
    """A calendar did not do what was asked."""


class GrantRevoked(CalendarError):
    """We may no longer: the person took the permission back, or it ran out. Only they can give it again."""


class CalendarAway(CalendarError):
    """Not now: no answer, a fault of theirs (5xx), or too many requests. ``retry_after`` is what they ask for."""

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class CalendarRefused(CalendarError):
    """They understood and will never do it: do not try again."""


class CursorLost(CalendarError):
    """They no longer know what we saw last (410): read everything again."""


class EventExists(CalendarError):
    """An event of this id is there already, perhaps a deleted one."""


class EventChanged(CalendarError):
    """The event is not the one whose ETag we know (412)."""


class EventGone(CalendarError):
    """There is no such event (404 or 410)."""


@dataclass(frozen=True, slots=True)
class Busy:
    """A time [start, end) that somebody has no time, in UTC; ``id`` is the calendar's own."""

    id: str
    start: datetime
    end: datetime
    title: str


@dataclass(frozen=True, slots=True)
class Changes:
    """``whole``: ``busy`` is all there is. Else what is new or different, and the ids that are no longer busy.

    ``cursor`` continues from here.
    """

    whole: bool
    busy: tuple[Busy, ...]
    free: frozenset[str]
    cursor: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A session as it stands in somebody's other calendar; ``id`` is ours, the same for all revisions."""

    id: str  # `entry_id`: letters and digits that all calendars take
    start: datetime
    end: datetime
    title: str
    text: str
    url: str  # of the room


@dataclass(frozen=True, slots=True)
class Written:
    """Where the event is now: ``ref`` is the calendar's name for it, ``etag`` its present revision."""

    ref: str
    etag: str


@dataclass(frozen=True, slots=True)
class Channel:
    """Their promise to tell us of changes, until ``expires_at``; ``resource`` is theirs, needed to end it."""

    id: str
    resource: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Choice:
    """One calendar of an account that has several; ``writable``: events may be written to it."""

    url: str
    name: str
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens a calendar. OAuth: tokens and the access token's end. CalDAV: address, name and password, the
    calendars that are read, and the one of them that is written to."""

    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: datetime | None = None
    url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    write_to: str = ""
    choices: tuple[Choice, ...] = ()


# Keeps refreshed credentials; they may be the only ones that still work.
Keep: TypeAlias = Callable[[Credentials], Awaitable[None]]


class Calendar(Protocol):
    """One calendar of one person.

    Every method may raise `GrantRevoked`, `CalendarAway` and `CalendarRefused` besides what it names; each request is
    bounded by TIMEOUT.
    """

    async def changes(self, cursor: str | None, frm: datetime, to: datetime) -> Changes:
        """Busy times in [frm, to) since ``cursor``; all of them without one. Ours are left out, so are all-clear ones
        (transparent, declined, cancelled). Raises `CursorLost`."""

    async def create(self, entry: Entry) -> Written:
        """Write a new event. Raises `EventExists`."""

    async def update(self, written: Written, entry: Entry) -> Written:
        """Change it, if it is still the one we know. Raises `EventChanged`, `EventGone`."""

    async def delete(self, written: Written) -> None:
        """Remove it, if it is still the one we know. Raises `EventChanged`, `EventGone`."""

    async def find(self, entry_id: str) -> Written | None:
        """Where our event is, also when the answer to its writing was lost; None when there is none."""

    async def watch(self, channel_id: str, token: str, address: str, until: datetime) -> Channel | None:
        """Ask to be told of changes at ``address``; None where the calendar cannot do that."""

    async def unwatch(self, channel: Channel) -> None:
        """End it; one that has ended is fine."""

    async def give_up(self) -> None:
        """Hand the permission back; one that is gone is fine."""


def entry_id(session_hex: str) -> str:
    """The id of a session's event: base32hex (RFC 2938), 5 to 1024 characters, as Google asks for."""
    return f"visavis{session_hex}"


def is_ours(event_id: str) -> bool:
    return event_id.startswith("visavis")
