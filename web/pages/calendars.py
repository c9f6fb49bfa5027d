"""Calendars on pages: the way to a consent page and back, the private feed, one session as a file, and pushes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiohttp import web as http

from server.base.context import Context
from server.base.errors import NotFound
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.calendars import accounts, feed
from server.calendars import actions as calendars
from server.calendars.model import (
    SERVICE_NAMES,
    Connection,
    ConnectionStatus,
    google_link,
    outlook_link,
    title_of,
)
from server.calendars.store import FeedSession
from web.access import Owner, Public, SignedIn
from web.context import context
from web.identity import caller
from web.limits import (
    CALENDAR_CONNECTS,
    CALENDAR_PUSHES,
    CALENDAR_PUSHES_BY_ADDRESS,
    address,
    spend,
)
from web.pages.render import signed_in
from web.pages.views import BookingView, principal_of
from web.routing import Route, Surface, asset, page

NOTES = 100  # channels of one notification that are looked at; Graph sends a handful
_LIST = re.compile(r'\s*(?:W/)?("[^"]*")\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class ConnectedView:
    """A connected calendar as its owner sees it."""

    id: UUID
    provider: str
    service: str
    account: str
    broken: bool
    trouble: str  # why the last look failed; empty: it did not
    synced_at: datetime | None
    choices: tuple[tuple[str, str], ...]  # URL and name of calendars that can be written to
    write_to: str

    @classmethod
    def of(cls, ctx: Context, it: Connection) -> ConnectedView:
        found = accounts.choices_of(ctx, it)
        return cls(
            id=it.id,
            provider=it.provider.value,
            service=SERVICE_NAMES[it.provider],
            account=it.account,
            broken=it.status is ConnectionStatus.BROKEN,
            trouble=it.error or "",
            synced_at=it.synced_at,
            choices=tuple((each.url, each.name) for each in found.all if each.writable) if found else (),
            write_to=found.write_to if found else "",
        )


@dataclass(frozen=True, slots=True)
class CalendarsView:
    """What the settings say about calendars."""

    connected: tuple[ConnectedView, ...]
    offered: tuple[tuple[str, str], ...]  # provider, and how people call it
    feed_url: str

    @property
    def webcal_url(self) -> str:
        """The same, for a calendar on this device to pick up."""
        return "webcal:" + self.feed_url.partition(":")[2]


async def calendars_of(ctx: Context, user_id: UUID) -> CalendarsView:
    return CalendarsView(
        tuple(ConnectedView.of(ctx, it) for it in await calendars.of_person(ctx, user_id)),
        tuple((provider.value, SERVICE_NAMES[provider]) for provider in calendars.providers(ctx)),
        ctx.settings.public_url + await feed.path_of(ctx, user_id),
    )


@dataclass(frozen=True, slots=True)
class AddTo:
    """Links that put a session into a calendar by hand."""

    google: str
    outlook: str


def links_of(ctx: Context, view: BookingView) -> AddTo | None:
    """For what is agreed and ahead."""
    if view.status != Status.APPROVED or view.over or view.both:
        return None
    url = f"{ctx.settings.public_url}/sessions/{view.session_id}"
    title, text = title_of(view.topic, view.other.name), f"Join at {url}"
    return AddTo(
        google_link(title, text, url, view.start, view.end),
        outlook_link(title, text, url, view.start, view.end),
    )


async def connect(request: http.Request) -> http.StreamResponse:
    """A link and not a form: our own forms may lead nowhere else (form-action)."""
    me = caller(request)
    await spend(request, CALENDAR_CONNECTS, str(me.user_id))
    raise http.HTTPSeeOther(
        await calendars.begin(context(request), me.user_id, request.match_info["provider"])
    )


async def callback(request: http.Request) -> http.StreamResponse:
    query = request.query
    await calendars.complete(
        context(request),
        caller(request).user_id,
        request.match_info["provider"],
        state=query.get("state", ""),
        code=query.get("code"),
        error=query.get("error"),
    )
    raise http.HTTPSeeOther("/settings#calendars")


async def push(request: http.Request) -> http.StreamResponse:
    """Google: https://developers.google.com/workspace/calendar/api/guides/push. The body is empty."""
    await spend(request, CALENDAR_PUSHES_BY_ADDRESS, address(request))
    channel = request.headers.get("X-Goog-Channel-ID", "")
    token = request.headers.get("X-Goog-Channel-Token", "")
    await _tell(request, channel[:100], token[:300])
    return http.Response(status=204)


async def notify(request: http.Request) -> http.StreamResponse:
    """Microsoft: https://learn.microsoft.com/graph/change-notifications-delivery-webhooks.

    A subscription is made only if we say its token back in plain text; a notification is proved by its clientState.
    """
    await spend(request, CALENDAR_PUSHES_BY_ADDRESS, address(request))
    if (token := request.query.get("validationToken")) is not None:
        # Never as anything a browser would run, whoever made the link.
        return http.Response(
            text=token[:2000],
            content_type="text/plain",
            headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"},
        )
    try:
        notes = (await request.json())["value"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        notes = None
    if not isinstance(notes, list):
        raise NotFound("channel_unknown", "There is no such channel.")
    # Several changes of one calendar come together: one look is enough.
    states = {str(it.get("clientState", ""))[:400] for it in notes[:1000] if isinstance(it, dict)}
    known = 0
    for state in sorted(states)[:NOTES]:
        channel, _, proof = state.partition(":")
        try:
            await _tell(request, channel, proof)
            known += 1
        except NotFound:
            continue  # of a subscription that has ended
    if not known:
        raise NotFound("channel_unknown", "There is no such channel.")
    return http.Response(status=202)


async def _tell(request: http.Request, channel: str, token: str) -> None:
    if calendars.is_channel(context(request), channel, token):
        await spend(request, CALENDAR_PUSHES, channel)
    await calendars.pushed(context(request), channel, token)


async def private_feed(request: http.Request) -> http.StreamResponse:
    found = await feed.read(context(request), request.match_info["token"])
    headers = {"ETag": found.etag, "Cache-Control": "private, no-cache"}
    wanted = request.headers.get("If-None-Match", "")
    if wanted.strip() == "*" or found.etag in _LIST.findall(wanted):
        return http.Response(status=304, headers=headers)
    return _ics(found.text, "visavis.ics", headers)


async def session_file(request: http.Request) -> http.StreamResponse:
    _, user = await signed_in(request)
    ctx = context(request)
    try:
        found = await booking.get(ctx, principal_of(user), UUID(request.match_info["id"]))
    except ValueError:
        raise NotFound("booking_not_found", "There is no such booking.") from None
    if found.status not in (Status.REQUESTED, Status.APPROVED, Status.HELD):
        raise NotFound(
            "booking_not_ahead", "This booking is closed: there is nothing to put into a calendar."
        )
    return _ics(feed.calendar_of([_as_feed(found, user.id)], ctx.settings.public_url), "session.ics", {})


def _as_feed(it: Booking, reader: UUID) -> FeedSession:
    other = it.mentee_name if reader == it.mentor_id else it.mentor_name
    return FeedSession(
        it.session_id, it.id, it.start, it.end, it.status.value, it.topic, it.revision, it.updated_at, other
    )


def _ics(text: str, name: str, headers: dict[str, str]) -> http.Response:
    return http.Response(
        body=text.encode(),
        content_type="text/calendar",
        charset="utf-8",
        headers={**headers, "Content-Disposition": f'attachment; filename="{name}"'},
    )


ROUTES = (
    page("GET", "/calendars/{provider}/connect", connect, access=SignedIn()),
    page("GET", "/calendars/{provider}/callback", callback, access=SignedIn()),
    page("GET", "/bookings/{id}/session.ics", session_file, access=Owner.of("booking")),
    asset("/calendar/{token}.ics", private_feed, summary="A person's sessions, for calendars that subscribe"),
    # Proved by the channel's token, which the action checks.
    Route(
        "POST", "/integrations/google/push", push, Public(), Surface.SYSTEM,
        "Google says that a calendar has changed", "system",
    ),
    Route(
        "POST", "/integrations/microsoft/push", notify, Public(), Surface.SYSTEM,
        "Microsoft says that calendars have changed, or asks whether we are there", "system",
    ),
)  # fmt: skip
