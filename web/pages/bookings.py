"""Bookings: one's own in four lists, and one of them with everything that can be done about it."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound
from server.booking import actions as booking
from server.booking.model import Status
from server.people import actions as people
from server.sessions.model import JOIN_CLOSES
from web.access import Owner, SignedIn
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render, signed_in
from web.pages.views import principal_of, session_of, timeline, view_of, with_outcomes
from web.rendering import zone_or_utc
from web.routing import page

TABS = (("upcoming", "Upcoming"), ("requested", "Waiting"), ("past", "Past"), ("cancelled", "Cancelled"))
_EMPTY = {
    "upcoming": "Nothing coming up",
    "requested": "Nothing waits for an answer",
    "past": "No past sessions yet",
    "cancelled": "Nothing was cancelled",
}
PAGE_SIZE = 20


async def listing(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx, who = context(request), principal_of(user)
    show = request.query.get("show", "upcoming")
    show = show if show in _EMPTY else "upcoming"
    status = {
        "upcoming": Status.APPROVED,
        "requested": Status.REQUESTED,
        "past": None,
        "cancelled": Status.CANCELLED,
    }[show]
    found = await booking.list_for(
        ctx,
        who,
        status=status,
        frm=reader.now - JOIN_CLOSES if show == "upcoming" else None,
        to=reader.now if show == "past" else None,
        cursor=text_cursor(request),
        limit=100 if show == "upcoming" else PAGE_SIZE,
    )
    items = found.items
    if show == "upcoming":
        items = tuple(reversed(items))  # soonest first: what is next is what people look for
    if show == "past":
        items = tuple(it for it in items if it.status not in (Status.CANCELLED, Status.REQUESTED))
    next_href = (
        "/bookings?" + urlencode({"show": show, "cursor": found.next_cursor}) if found.next_cursor else None
    )
    return await render(
        request,
        "bookings.html",
        tabs=TABS,
        show=show,
        views=await with_outcomes(ctx, items, user, reader.now),
        next_href=next_href,
        empty_title=_EMPTY[show],
    )


async def one(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx = context(request)
    try:
        found = await booking.get(ctx, principal_of(user), UUID(request.match_info["id"]))
    except ValueError:
        raise NotFound("booking_not_found", "There is no such booking.") from None
    session = await session_of(ctx, found, user) if found.status is Status.HELD else None
    view = view_of(found, user, reader.now, session)
    other = await people.get_user(ctx, view.other.id)
    return await render(
        request, "booking.html", view=view, timeline=timeline(view), other_zone=zone_or_utc(other.timezone)
    )


ROUTES = (
    page("GET", "/bookings", listing, access=SignedIn()),
    page("GET", "/bookings/{id}", one, access=Owner.of("booking")),
)
