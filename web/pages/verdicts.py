"""The administrators' pages of verdicts: the queue of reviews, and one session with all that is known of it."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web as http

from server.attendance import amending, outages
from server.attendance.intervals import total
from server.attendance.verdict import expected, together
from server.base.errors import NotFound
from server.booking import actions as booking
from server.notifications.reach import LANGUAGE
from server.notifications.tongues import tongue_of
from server.people.model import Role
from server.sessions import actions as sessions
from web.access import RoleIs
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render, signed_in
from web.pages.timeline import bars_of
from web.pages.views import principal_of, view_of
from web.routing import page

PAGE_SIZE = 30
OUTAGES_SHOWN = 20


async def queue(request: http.Request) -> http.StreamResponse:
    ctx = context(request)
    found = await amending.waiting(ctx, text_cursor(request), PAGE_SIZE)
    query = urlencode({"cursor": found.next_cursor}) if found.next_cursor else ""
    return await render(
        request,
        "reviews.html",
        reviews=found.items,
        next_href=f"/admin/reviews?{query}" if query else None,
        outages=(await outages.listed(ctx, None, OUTAGES_SHOWN)).items,
    )


async def one(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx, who = context(request), principal_of(user)
    try:
        session_id = UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("session_not_found", "There is no such session.") from None
    session = await sessions.get(ctx, who, session_id)
    view = view_of(await booking.get(ctx, who, session.booking_id), user, reader.now, session)
    known = await amending.evidence(ctx, session_id)
    return await render(
        request,
        "verdict.html",
        view=view,
        bars=bars_of(known, view.mentor, view.mentee),
        steps=await amending.of_session(ctx, who, session_id),
        reviews=await amending.reviews_of(ctx, session_id),
        outcomes=[
            (outcome, words.replace("you", "they").capitalize())
            for outcome, words in tongue_of(LANGUAGE).outcomes.items()
        ],
        planned=(known.end - known.start).total_seconds(),
        expected=total(expected(known.start, known.end, known.away)).total_seconds(),
        together=together(known.start, known.end, known.mentor.present, known.mentee.present).total_seconds(),
    )


_ADMIN = RoleIs.of(Role.ADMIN)
ROUTES = (
    page("GET", "/admin/reviews", queue, access=_ADMIN, summary="Reviews of verdicts"),
    page("GET", "/admin/sessions/{id}/verdict", one, access=_ADMIN, summary="A session's verdict"),
)
