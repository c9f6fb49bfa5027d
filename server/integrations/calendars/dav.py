"""CalDAV (RFC 4791), as Nextcloud, iCloud, Fastmail and Radicale speak it: discovery, sync tokens, events by ETag.

`caldav` writes and reads the XML; `Carrier` carries it. A sync token (RFC 6578) tells cheaply that nothing is new. When
something is, the whole span is read: what an event that changed or went used to repeat on, only its old text could say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit
from zoneinfo import ZoneInfo

import aiohttp
from caldav.aio import AsyncDAVClient, DAVResponse
from caldav.lib.error import DAVError
from caldav.response import CalendarQueryResult, PropfindResult
from icalendar import Calendar, Event
from lxml.etree import LxmlError

from server.base.clock import Clock
from server.integrations.calendars.carrier import Carrier, checked
from server.integrations.calendars.protocol import (
    Busy,
    CalendarAway,
    CalendarRefused,
    Changes,
    Channel,
    Choice,
    Credentials,
    CursorLost,
    Entry,
    EventChanged,
    EventExists,
    EventGone,
    GrantRevoked,
    Written,
    is_ours,
)
from server.integrations.calendars.recurrence import Text, busy_of

PRODID: Final = "-//Visavis//Visavis//EN"
CALENDARS: Final = 20  # of one account that are looked at
ROUNDS: Final = 50  # of a sync report that a server truncates (RFC 6578 section 3.6)
DAV: Final = "{DAV:}"
CALDAV: Final = "{urn:ietf:params:xml:ns:caldav}"
SUBSCRIBED: Final = "{http://calendarserver.org/ns/}subscribed"  # somebody else's, shown only
USUAL: Final = ("personal", "home", "default", "calendar", "work")  # last part of the address, by habit
# `caldav` builds no request for the last two: RFC 3744 section 5.5, RFC 6638 section 9.1.
LISTING: Final = (
    '<?xml version="1.0" encoding="utf-8"?>'
    '<D:propfind xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:resourcetype/><D:displayname/>'
    "<C:supported-calendar-component-set/><D:current-user-privilege-set/><C:schedule-calendar-transp/>"
    "</D:prop></D:propfind>"
)
WRITING: Final = frozenset(DAV + it for it in ("all", "write", "write-content", "bind"))

T = TypeVar("T")


class NothingThere(CalendarRefused):
    """The server answers, and has no calendar there."""


class NotCalDAV(CalendarAway):
    """Something answers, but not as a calendar server does: a proxy's page for a while, or the wrong address."""


class _Client(AsyncDAVClient):
    """The library's client with our own legs: it opens no connection itself."""

    def __init__(self, carrier: Carrier, url: str) -> None:
        self._carrier = carrier
        self.answered = url  # where the last answer came from, after redirects
        super().__init__(url=url, enable_rfc6764=False, rate_limit_handle=False)

    def _create_session(self) -> None:
        """Not needed: `request` is ours."""

    async def request(
        self,
        url: str,
        method: str = "GET",
        body: str | bytes = "",
        headers: Mapping[str, str] | None = None,
        rate_limit_time_slept: float = 0,
    ) -> DAVResponse:
        raw = body if isinstance(body, bytes) else body.encode()
        reply = await self._carrier.send(method, str(url), raw, headers or {})
        self.answered = reply.url
        start = reply.content[:100].lstrip().lower()
        if method in ("PROPFIND", "REPORT") and (b"<html" in start or b"<!doctype" in start):
            raise NothingThere(f"a web page answers to {method}")
        return DAVResponse(reply, self)


async def _speak(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except (DAVError, LxmlError, ValueError, KeyError, AttributeError, AssertionError) as error:
        raise NotCalDAV(f"the server's answer is no CalDAV: {type(error).__name__}") from error


class DavCalendar:
    """The calendars of one account (see `Calendar`): all that count are read, one is written to."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        credentials: Credentials,
        zone: ZoneInfo,
        *,
        local: bool,
    ) -> None:
        self._clock, self._zone, self._known, self._local = clock, zone, credentials, local
        carrier = Carrier(http, clock, credentials.username, credentials.password, local)
        self._client = _Client(carrier, credentials.url)

    async def discover(self) -> Credentials:
        """The same with the account's calendars, and the one we write to: the one before, or the usual.

        Raises `GrantRevoked` (wrong name or password), `ServerForbidden`, `NothingThere`, `CalendarAway`.
        """
        choices = await self._choices()
        to = [it for it in choices if it.writable]
        if not to:
            raise NothingThere("no calendar that can be written to")
        chosen = next((it for it in to if it.url == self._known.write_to), None)
        usual = min(to, key=lambda it: (_last(it.url) not in USUAL, choices.index(it)))
        return replace(self._known, write_to=(chosen or usual).url, choices=choices)

    async def changes(self, cursor: str | None, frm: datetime, to: datetime) -> Changes:
        urls = [it.url for it in self._known.choices] or [self._known.write_to]
        known = _tokens(cursor)
        if known.keys() == set(urls) and all(known.values()):
            news = False
            for url, token in known.items():
                changed, known[url] = await self._since(url, token)
                news = news or changed
            if not news:
                return Changes(False, (), frozenset(), json.dumps(known))
        # The tokens first: what changes while we read is new the next time.
        tokens: dict[str, str] = {}
        texts: list[Text] = []
        for url in urls:
            try:
                tokens[url] = await self._token(url)
                texts += await self._objects(url, frm, to)
            except EventGone as error:
                if url == self._known.write_to:
                    raise GrantRevoked("the calendar that sessions are written to is gone") from error
                tokens[url] = ""
        # Minutes of nothing but arithmetic at worst: not in the loop that serves everybody.
        busy: list[Busy] = await asyncio.to_thread(busy_of, texts, frm, to, self._zone, self._known.username)
        return Changes(True, tuple(busy), frozenset(), json.dumps(tokens))

    async def create(self, entry: Entry) -> Written:
        url = self._place(entry.id)
        try:
            return await self._put(url, entry, {"If-None-Match": "*"})
        except EventChanged as error:
            raise EventExists(str(error)) from error
        except EventGone as error:
            raise GrantRevoked("the calendar that sessions are written to is gone") from error

    async def update(self, written: Written, entry: Entry) -> Written:
        if written.ref == self._place(entry.id):
            return await self._put(written.ref, entry, {"If-Match": written.etag})
        # Another calendar was chosen since: the event moves there.
        try:
            moved = await self.create(entry)
        except EventExists:
            there = await self.find(entry.id)
            moved = await (self.create(entry) if there is None else self.update(there, entry))
        with contextlib.suppress(EventGone, EventChanged):  # gone, or somebody's own by now
            await self.delete(written)
        return moved

    async def delete(self, written: Written) -> None:
        await _speak(self._client.delete(written.ref, {"If-Match": written.etag}))

    async def find(self, entry_id: str) -> Written | None:
        url = self._place(entry_id)
        try:
            return Written(url, await self._etag(url))
        except EventGone:
            return None

    async def watch(self, channel_id: str, token: str, address: str, until: datetime) -> Channel | None:
        return None  # CalDAV knows no push: it is polled

    async def unwatch(self, channel: Channel) -> None:
        return None

    async def give_up(self) -> None:
        return None  # an app password ends where it was made

    # ------------------------------------------------------------ reading

    async def _since(self, url: str, token: str) -> tuple[bool, str]:
        """Whether anything but our own events has changed since, and the next token."""
        news = False
        for _ in range(ROUNDS):
            try:
                # Depth 0 is the only one it is defined for (RFC 6578 section 3.2).
                answer = await _speak(self._client.sync_collection(url, token, ["getetag"], depth=0))
            except (CalendarRefused, EventChanged, EventGone) as error:
                # 403 or 409 valid-sync-token (RFC 6578 section 3.2), and what else servers say instead.
                raise CursorLost(str(error)) from error
            found = answer.parse_sync_collection()
            names = [*(it.href for it in found.changed), *found.deleted]
            news = news or any(not is_ours(_last(href)) for href in names)
            if not found.sync_token:
                raise CursorLost("no new sync token")
            token = found.sync_token
            if not found.truncated:
                return news, token
        raise CursorLost("a sync report without end")

    async def _token(self, url: str) -> str:
        """Empty where the server knows none: then everything is read each time."""
        [found] = await self._properties(url, props=["sync-token"])
        token = found[1].get(DAV + "sync-token")
        return token if isinstance(token, str) else ""

    async def _objects(self, url: str, frm: datetime, to: datetime) -> list[Text]:
        answer = await _speak(self._client.calendar_query(url, start=frm, end=to, event=True))
        return [
            Text(it.href, it.calendar_data)
            for it in answer.results or ()
            if isinstance(it, CalendarQueryResult) and it.calendar_data and not is_ours(_last(it.href))
        ]

    async def _choices(self) -> tuple[Choice, ...]:
        """The account's calendars, by way of its principal (RFC 5397, RFC 4791 section 6.2.1), or the one that the
        address names."""
        given = str(self._client.url)
        home = given
        for start in (given, urljoin(given, "/.well-known/caldav")):  # RFC 6764 section 5
            try:
                [(_, found)] = await self._properties(start, props=["current-user-principal"])
            except (EventGone, CalendarRefused, NotCalDAV):
                continue
            if isinstance(principal := found.get(DAV + "current-user-principal"), str):
                principal = urljoin(self._client.answered, principal)
                [(_, found)] = await self._properties(principal, props=["calendar-home-set"])
                homes = found.get(CALDAV + "calendar-home-set")
                if isinstance(first := homes[0] if isinstance(homes, list) and homes else homes, str):
                    home = urljoin(self._client.answered, first)
                    break
        try:
            listed = await self._properties(home, body=LISTING, depth=1)
        except (EventGone, NotCalDAV) as error:
            raise NothingThere(str(error)) from error
        choices = [
            it
            for href, found in listed
            if (it := _choice(urljoin(self._client.answered, quote(href)), found)) is not None
        ]
        return tuple(sorted(choices, key=lambda it: (it.name.casefold(), it.url))[:CALENDARS])

    async def _properties(self, url: str, **wanted: Any) -> list[tuple[str, dict[str, Any]]]:
        answer = await _speak(self._client.propfind(checked(url, local=self._local), **wanted))
        found = [(it.href, it.properties) for it in answer.results or () if isinstance(it, PropfindResult)]
        if not found:
            raise NotCalDAV("the server's answer is no CalDAV: empty")
        return found if wanted.get("depth") else found[:1]

    # ------------------------------------------------------------ writing

    def _place(self, entry_id: str) -> str:
        return f"{self._known.write_to.rstrip('/')}/{entry_id}.ics"

    async def _put(self, url: str, entry: Entry, condition: Mapping[str, str]) -> Written:
        headers = {"Content-Type": "text/calendar; charset=utf-8", **condition}
        answer = await _speak(self._client.put(url, _ical(entry, self._clock.now()), headers))
        found = {name.lower(): value for name, value in answer.headers.items()}
        # A server that keeps another text than it was sent tells no ETag (RFC 4791 section 5.3.4).
        return Written(url, found.get("etag") or await self._etag(url))

    async def _etag(self, url: str) -> str:
        [(_, found)] = await self._properties(url, props=["getetag"])
        if not isinstance(etag := found.get(DAV + "getetag"), str):
            raise CalendarAway("the server tells no ETag")
        return etag


def _choice(url: str, found: Mapping[str, Any]) -> Choice | None:
    """None for what is no calendar of events, or does not count as busy (RFC 6638 section 9.1)."""
    kinds = found.get(DAV + "resourcetype") or ()
    if CALDAV + "calendar" not in kinds or SUBSCRIBED in kinds:
        return None
    holds = found.get(CALDAV + "supported-calendar-component-set")
    if isinstance(holds, list) and holds and "VEVENT" not in holds:
        return None
    if "transparent" in str(found.get(CALDAV + "schedule-calendar-transp") or ""):
        return None
    may = found.get(DAV + "current-user-privilege-set")
    writable = not isinstance(may, list) or not may or not WRITING.isdisjoint(may)
    return Choice(url, str(found.get(DAV + "displayname") or unquote(_last(url)))[:100], writable)


def _ical(entry: Entry, now: datetime) -> str:
    event = Event()
    event.add("uid", entry.id)
    event.add("dtstamp", now.astimezone(UTC))
    event.add("last-modified", now.astimezone(UTC))
    event.add("dtstart", entry.start.astimezone(UTC))
    event.add("dtend", entry.end.astimezone(UTC))
    event.add("summary", entry.title)
    event.add("description", entry.text)
    event.add("location", entry.url)
    event.add("url", entry.url)
    event.add("status", "CONFIRMED")
    calendar = Calendar()
    calendar.add("prodid", PRODID)
    calendar.add("version", "2.0")
    calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text


def _tokens(cursor: str | None) -> dict[str, str]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return {str(url): str(token) for url, token in found.items()} if isinstance(found, dict) else {}


def _last(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]
