"""Microsoft 365 and Outlook.com by Graph v1.0: a calendar view's changes since a delta link, our own events found again
by a property of ours, subscriptions for push."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import aiohttp
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from server.base.clock import Clock
from server.integrations.calendars.oauth import Service
from server.integrations.calendars.protocol import (
    Busy,
    CalendarRefused,
    Changes,
    Channel,
    Credentials,
    CursorLost,
    Entry,
    EventExists,
    EventGone,
    Keep,
    Written,
    is_ours,
)
from server.integrations.calendars.rest import Answer, Rest
from server.oauth import OAuthClient

SCOPE: Final = "https://graph.microsoft.com/Calendars.ReadWrite"
# A named property of ours in the public namespace (MS-OXPROPS 1.3.2); what events are found again by.
PROPERTY: Final = "String {00020329-0000-0000-c000-000000000046} Name VisavisSession"
# Ids that survive a move to another folder, times in UTC, and Graph's largest page of events.
PREFER: Final = 'IdType="ImmutableId", outlook.timezone="UTC", odata.maxpagesize=500'
PAGES: Final = 200  # 100,000 events
WATCHED_FOR: Final = timedelta(minutes=4230)  # the longest that all kinds of mailbox grant
FREE: Final = frozenset({"free", "workingElsewhere"})
LOST: Final = ("syncstatenotfound", "syncstateinvalid", "resyncrequired", "errorinvalidsyncstatedata")
# What an occurrence in a delta leaves to its series master to say.
INHERITED: Final = ("subject", "showAs", "isAllDay", "isCancelled", "responseStatus", "originalStartTimeZone",
                    "transactionId")  # fmt: skip


@dataclass(frozen=True, slots=True)
class GraphService(Service):
    """The OAuth service, and where Graph is."""

    api_url: str = ""


def graph_service(client: OAuthClient) -> GraphService:
    """Microsoft's own addresses for the tenant, or all of them below ``client.base_url``."""
    login = f"{client.base_url or 'https://login.microsoftonline.com'}/{client.tenant}/oauth2/v2.0"
    return GraphService(
        name="microsoft",
        client_id=client.client_id,
        client_secret=client.client_secret,
        authorize_url=f"{login}/authorize",
        token_url=f"{login}/token",
        revoke_url=None,  # there is none for one application: the person ends it at myapps.microsoft.com
        # offline_access: a refresh token. Consent adds up by itself: only what is new is asked for.
        scopes=("openid", "email", "profile", "offline_access", SCOPE),
        needed_scope=SCOPE,
        extra=(("prompt", "select_account"), ("response_mode", "query")),
        api_url=f"{client.base_url or 'https://graph.microsoft.com'}/v1.0",
    )


class GraphCalendar:
    """A person's default calendar (see `Calendar`)."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        service: GraphService,
        credentials: Credentials,
        keep: Keep,
        zone: ZoneInfo,
    ) -> None:
        self._clock, self._api, self._zone = clock, service.api_url, zone
        self._rest = Rest(http, clock, service, credentials, keep, frozenset())
        self._events = f"{service.api_url}/me/events"

    async def changes(self, cursor: str | None, frm: datetime, to: datetime) -> Changes:
        # The link remembers the span of the first request.
        span = urlencode({"startDateTime": _instant(frm), "endDateTime": _instant(to)})
        url = cursor or f"{self._api}/me/calendarView/delta?{span}"
        items: list[Mapping[str, Any]] = []
        for _ in range(PAGES):
            data = (await self._page(url)).data
            items.extend(it for it in data.get("value", ()) if isinstance(it, dict) and it.get("id"))
            if (following := data.get("@odata.nextLink")) is not None:
                url = self._ours(str(following))
                continue
            if not (link := data.get("@odata.deltaLink")):
                raise CalendarRefused("microsoft gave no delta link")
            busy, free = _sorted_out(items, self._zone)
            return Changes(cursor is None, busy, free, self._ours(str(link)))
        raise CalendarRefused("microsoft's calendar has too many events")

    async def create(self, entry: Entry) -> Written:
        if await self.find(entry.id) is not None:
            raise EventExists("there is an event of this session")
        body = {**_body(entry), "singleValueExtendedProperties": [{"id": PROPERTY, "value": entry.id}]}
        try:
            # Twice the same transaction is one event, also where the property is not searchable yet.
            return _written(
                await self._rest.call("POST", self._events, body | {"transactionId": entry.id}, Prefer=PREFER)
            )
        except EventExists:
            if await self.find(entry.id) is not None:
                raise
        # It was there once and was removed: that transaction is spent.
        again = f"{entry.id}-{secrets.token_hex(4)}"
        return _written(
            await self._rest.call("POST", self._events, body | {"transactionId": again}, Prefer=PREFER)
        )

    async def update(self, written: Written, entry: Entry) -> Written:
        try:
            return _written(
                await self._rest.call(
                    "PATCH", self._event(written.ref), _body(entry), Prefer=PREFER, If_Match=written.etag
                )
            )
        except CursorLost as error:
            raise EventGone(str(error)) from error

    async def delete(self, written: Written) -> None:
        try:
            await self._rest.call("DELETE", self._event(written.ref), Prefer=PREFER, If_Match=written.etag)
        except CursorLost as error:
            raise EventGone(str(error)) from error

    async def find(self, entry_id: str) -> Written | None:
        # A quote within a literal would be doubled (OData 4.01 part 2, section 5.1.1.6); our ids have none.
        wanted = f"singleValueExtendedProperties/Any(p: p/id eq '{PROPERTY}' and p/value eq '{entry_id}')"
        query = urlencode({"$filter": wanted, "$top": "1", "$select": "id"}, quote_via=quote)
        answer = await self._rest.call("GET", f"{self._events}?{query}", Prefer=PREFER)
        found = answer.data.get("value")
        return _written(Answer(200, found[0], "")) if isinstance(found, list) and found else None

    async def watch(self, channel_id: str, token: str, address: str, until: datetime) -> Channel | None:
        ends = min(until, self._clock.now() + WATCHED_FOR)
        body = {
            "changeType": "created,updated,deleted",
            "notificationUrl": address,
            "resource": "/me/events",
            "expirationDateTime": _instant(ends),
            "clientState": f"{channel_id}:{token}",  # at most 128 characters; ours has 101
            "latestSupportedTlsVersion": "v1_2",
        }
        data = (await self._rest.call("POST", f"{self._api}/subscriptions", body)).data
        granted = _when(data.get("expirationDateTime"), ZoneInfo("UTC"))
        return Channel(channel_id, str(data.get("id", "")), granted or ends)

    async def unwatch(self, channel: Channel) -> None:
        try:
            await self._rest.call("DELETE", f"{self._api}/subscriptions/{quote(channel.resource, safe='')}")
        except (EventGone, CursorLost):
            return

    async def give_up(self) -> None:
        return None  # see `graph_service`

    async def _page(self, url: str) -> Answer:
        try:
            return await self._rest.call("GET", url, Prefer=PREFER)
        except (CalendarRefused, EventGone) as error:
            # Not only 410: a link that is too old may also be refused with a 40x and one of these codes.
            if any(word in str(error).lower() for word in LOST):
                raise CursorLost(str(error)) from error
            raise

    def _ours(self, link: str) -> str:
        """A link is followed with the person's token: only to where we got it from."""
        if not link.startswith(f"{self._api}/"):
            raise CalendarRefused("microsoft's link leads elsewhere")
        return link

    def _event(self, ref: str) -> str:
        return f"{self._events}/{quote(ref, safe='')}"


def _written(answer: Answer) -> Written:
    return Written(str(answer.data.get("id", "")), str(answer.data.get("@odata.etag") or answer.etag))


def _body(entry: Entry) -> dict[str, Any]:
    return {
        "subject": entry.title,
        "body": {"contentType": "text", "content": entry.text},
        "location": {"displayName": entry.url},
        "start": {"dateTime": _local(entry.start), "timeZone": "UTC"},
        "end": {"dateTime": _local(entry.end), "timeZone": "UTC"},
        "showAs": "busy",
    }


def _sorted_out(items: list[Mapping[str, Any]], zone: ZoneInfo) -> tuple[tuple[Busy, ...], frozenset[str]]:
    """What takes time, and the ids of what does not (any more); the later word on an id counts."""
    masters = {str(it["id"]): it for it in items if it.get("type") == "seriesMaster"}
    busy: dict[str, Busy] = {}
    free: set[str] = set()
    for item in items:
        identity = str(item["id"])
        master = masters.get(str(item.get("seriesMasterId", "")), {})
        whole = {name: master[name] for name in INHERITED if name in master} | dict(item)
        if is_ours(str(whole.get("transactionId") or "")) or item.get("type") == "seriesMaster":
            continue
        busy.pop(identity, None)
        free.discard(identity)
        if (found := _busy(identity, whole, zone)) is not None:
            busy[identity] = found
        else:
            free.add(identity)
    return tuple(busy.values()), frozenset(free)


def _busy(identity: str, item: Mapping[str, Any], zone: ZoneInfo) -> Busy | None:
    """None for what takes no time: removed, cancelled, declined, shown as free, or without a length."""
    if "@removed" in item or item.get("isCancelled") or item.get("showAs") in FREE:
        return None
    response = item.get("responseStatus")
    if isinstance(response, dict) and response.get("response") == "declined":
        return None
    start, end = item.get("start"), item.get("end")
    if not isinstance(start, dict) or not isinstance(end, dict):
        return None
    if item.get("isAllDay"):
        # Told as midnights in UTC, meant as days in the zone they were written in.
        meant = _zone(str(item.get("originalStartTimeZone") or "")) or zone
        first, after = _midnight(start.get("dateTime"), meant), _midnight(end.get("dateTime"), meant)
    else:
        first, after = (
            _when(it.get("dateTime"), _zone(str(it.get("timeZone") or "UTC")) or zone) for it in (start, end)
        )
    if first is None or after is None or after <= first:
        return None
    return Busy(identity, first, after, str(item.get("subject") or "")[:200])


def _midnight(value: Any, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(str(value)[:10]), time(), zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _when(value: Any, zone: ZoneInfo) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))  # with seven digits of a second
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> ZoneInfo | None:
    """By its Windows or IANA name; None for what is neither, such as "tzone://Microsoft/Custom"."""
    try:
        return ZoneInfo(WINDOWS_TO_OLSON.get(name, name)) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _local(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat()
