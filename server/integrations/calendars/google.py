"""Google Calendar v3: events as changes since a sync token, our own events under ids of our choice, push channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp

from server.base.clock import Clock
from server.integrations.calendars.oauth import Service, revoke
from server.integrations.calendars.protocol import (
    Busy,
    CalendarRefused,
    Changes,
    Channel,
    Credentials,
    CursorLost,
    Entry,
    EventGone,
    Keep,
    Written,
    is_ours,
)
from server.integrations.calendars.rest import Rest
from server.oauth import OAuthClient

SCOPE = "https://www.googleapis.com/auth/calendar.events"
SLOW_DOWN = frozenset(
    {"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "calendarUsageLimitsExceeded"}
)
PAGE = 2500  # Google's most
PAGES = 40  # 100,000 events: nobody has that many in a year
CALENDAR = "primary"


@dataclass(frozen=True, slots=True)
class GoogleService(Service):
    """The OAuth service, and where the calendar API is."""

    api_url: str = ""


def google_service(client: OAuthClient) -> GoogleService:
    """Google's own addresses, or all of them below ``client.base_url``."""
    base = client.base_url
    return GoogleService(
        name="google",
        client_id=client.client_id,
        client_secret=client.client_secret,
        authorize_url=f"{base or 'https://accounts.google.com'}/o/oauth2/v2/auth",
        token_url=f"{base or 'https://oauth2.googleapis.com'}/token",
        revoke_url=f"{base or 'https://oauth2.googleapis.com'}/revoke",
        scopes=("openid", "email", SCOPE),
        needed_scope=SCOPE,
        # offline: a refresh token; consent: one every time, also when a person connects again.
        extra=(("access_type", "offline"), ("include_granted_scopes", "true"), ("prompt", "consent")),
        api_url=f"{base or 'https://www.googleapis.com'}/calendar/v3",
    )


class GoogleCalendar:
    """A person's primary calendar (see `Calendar`)."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        service: GoogleService,
        credentials: Credentials,
        keep: Keep,
    ) -> None:
        self._http, self._service = http, service
        self._rest = Rest(http, clock, service, credentials, keep, SLOW_DOWN)
        self._events = f"{service.api_url}/calendars/{CALENDAR}/events"

    async def changes(self, cursor: str | None, frm: datetime, to: datetime) -> Changes:
        query = {"singleEvents": "true", "maxResults": str(PAGE)}
        if cursor is not None:
            # The token remembers the span of the first request; Google refuses both together.
            query["syncToken"] = cursor
        else:
            query |= {"timeMin": _instant(frm), "timeMax": _instant(to)}
        busy: list[Busy] = []
        free: set[str] = set()
        for _ in range(PAGES):
            data = (await self._rest.call("GET", f"{self._events}?{urlencode(query)}")).data
            zone = _zone(str(data.get("timeZone", "UTC")))
            for item in data.get("items", ()):
                if is_ours(str(item.get("id", ""))):
                    continue
                found = _busy(item, zone)
                if found is not None:
                    busy.append(found)
                else:
                    free.add(str(item.get("id", "")))
            if (page := data.get("nextPageToken")) is not None:
                query["pageToken"] = str(page)
                continue
            if not (token := data.get("nextSyncToken")):
                raise CalendarRefused("google gave no sync token")
            return Changes(cursor is None, tuple(busy), frozenset(free), str(token))
        raise CalendarRefused("google's calendar has too many events")

    async def create(self, entry: Entry) -> Written:
        answer = await self._rest.call("POST", self._events, {"id": entry.id, **_body(entry)})
        return Written(entry.id, str(answer.data.get("etag") or answer.etag))

    async def update(self, written: Written, entry: Entry) -> Written:
        try:
            answer = await self._rest.call(
                "PATCH", self._event(written.ref), _body(entry), If_Match=written.etag
            )
        except CursorLost as error:  # 410 of an event: it was deleted
            raise EventGone(str(error)) from error
        return Written(written.ref, str(answer.data.get("etag") or answer.etag))

    async def delete(self, written: Written) -> None:
        try:
            await self._rest.call("DELETE", self._event(written.ref), If_Match=written.etag)
        except CursorLost as error:
            raise EventGone(str(error)) from error

    async def find(self, entry_id: str) -> Written | None:
        try:
            answer = await self._rest.call("GET", self._event(entry_id))
        except (EventGone, CursorLost):
            return None
        return Written(entry_id, str(answer.data.get("etag") or answer.etag))

    async def watch(self, channel_id: str, token: str, address: str, until: datetime) -> Channel | None:
        body = {
            "id": channel_id,
            "type": "web_hook",
            "address": address,
            "token": token,
            "expiration": str(int(until.timestamp() * 1000)),
        }
        data = (await self._rest.call("POST", f"{self._events}/watch", body)).data
        try:
            expires_at = datetime.fromtimestamp(int(data["expiration"]) / 1000, UTC)
        except (KeyError, ValueError, OverflowError):
            expires_at = until
        return Channel(channel_id, str(data.get("resourceId", "")), expires_at)

    async def unwatch(self, channel: Channel) -> None:
        try:
            await self._rest.call(
                "POST",
                f"{self._service.api_url}/channels/stop",
                {"id": channel.id, "resourceId": channel.resource},
            )
        except (EventGone, CursorLost):
            return

    async def give_up(self) -> None:
        await revoke(self._http, self._service, self._rest.credentials)

    def _event(self, event_id: str) -> str:
        return f"{self._events}/{quote(event_id, safe='')}"


def _body(entry: Entry) -> dict[str, Any]:
    """Status and all: writing revives an event that somebody deleted."""
    return {
        "status": "confirmed",
        "summary": entry.title,
        "description": entry.text,
        "location": entry.url,
        "source": {"title": "Visavis", "url": entry.url},
        "start": {"dateTime": _instant(entry.start)},
        "end": {"dateTime": _instant(entry.end)},
        "extendedProperties": {"private": {"visavis": entry.id}},
    }


def _busy(item: Mapping[str, Any], zone: ZoneInfo) -> Busy | None:
    """None for what takes no time: cancelled, transparent, declined, or without a length we understand."""
    if item.get("status") == "cancelled" or item.get("transparency") == "transparent":
        return None
    # Where she works and when she was born keep nobody from meeting.
    if item.get("eventType") in ("workingLocation", "birthday"):
        return None
    attendees = item.get("attendees")
    for attendee in attendees if isinstance(attendees, list) else ():
        if attendee.get("self") and attendee.get("responseStatus") == "declined":
            return None
    start, end = _when(item.get("start"), zone), _when(item.get("end"), zone)
    if start is None or end is None or end <= start:
        return None
    return Busy(str(item["id"]), start, end, str(item.get("summary") or "")[:200])


def _when(value: Any, zone: ZoneInfo) -> datetime | None:
    """An instant, or midnight in the calendar's zone for whole days."""
    if not isinstance(value, dict):
        return None
    try:
        if "dateTime" in value:
            found = datetime.fromisoformat(str(value["dateTime"]))
            return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
        return datetime.combine(date.fromisoformat(str(value["date"])), time(), zone).astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
