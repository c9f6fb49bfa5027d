"""The dashboard: what is next for this person, and what waits for an answer."""

from __future__ import annotations

from typing import Any

from aiohttp import web as http

from server.availability import actions as availability
from server.booking import actions as booking
from server.booking.model import Status
from server.confirmations import actions as confirmations
from server.ledger import actions as ledger
from server.people.model import Role
from server.sessions.model import JOIN_CLOSES
from web.access import SignedIn
from web.context import context
from web.pages.render import render, signed_in
from web.pages.views import principal_of, view_of, with_outcomes
from web.routing import page

UPCOMING = 6  # below the next one
PAST = 5
_CLOSED = (Status.HELD, Status.CANCELLED, Status.REJECTED)


def greeting(hour: int) -> str:
    if 5 <= hour < 12:
        return "Good morning"
    return "Good afternoon" if 12 <= hour < 18 else "Good evening"


async def dashboard(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    local = reader.now.astimezone(reader.zone)
    common: dict[str, Any] = {
        "role": user.role.value,
        "today": local.date(),
        "greeting": greeting(local.hour),
    }
    if user.role is Role.ADMIN:
        return await render(request, "dashboard.html", admin_links=_admin_links(reader.demo), **common)
    ctx, who = context(request), principal_of(user)
    live = await booking.list_for(ctx, who, status=Status.APPROVED, frm=reader.now - JOIN_CLOSES, limit=100)
    asked = await booking.list_for(ctx, who, status=Status.REQUESTED, frm=reader.now, limit=50)
    before = await booking.list_for(ctx, who, to=reader.now, limit=2 * PAST)
    past = tuple(it for it in before.items if it.status in _CLOSED)[:PAST]
    # The lists come latest first; what is ahead reads soonest first.
    soonest = list(reversed(live.items))[: UPCOMING + 1]
    said = await confirmations.of_sessions(ctx, [it.session_id for it in soonest])
    ahead = [view_of(it, user, reader.now, confirmation=said.get(it.session_id)) for it in soonest]
    return await render(
        request,
        "dashboard.html",
        next=ahead[0] if ahead else None,
        upcoming=ahead[1:],
        requests=[view_of(it, user, reader.now) for it in reversed(asked.items)],
        past=await with_outcomes(ctx, past, user, reader.now),
        wallet=await ledger.wallet(ctx, user.id),
        has_availability=user.role is not Role.MENTOR or bool((await availability.get(ctx, user.id)).weekly),
        **common,
    )


def _admin_links(demo: bool) -> list[tuple[str, str, str, str]]:
    links = [
        ("/bookings", "calendar", "Bookings", "Everybody's bookings, newest first, with their state."),
        ("/admin/conflicts", "shield", "Conflicts", "What is booked and collides, and what resolves it."),
        ("/admin/merges", "people", "Merged sessions", "Several sessions of a mentor in one room."),
        (
            "/admin/reviews",
            "clock",
            "Reviews",
            "Verdicts that somebody thinks are wrong, and our own outages.",
        ),
        ("/admin/testimonials", "chat", "Testimonials", "What mentees wrote, to be read before it appears."),
        ("/admin/jobs", "clock", "Jobs", "What runs, what waits, and what was given up."),
        (
            "/admin/journey",
            "people",
            "Mentee journey",
            "What became of each mentee's sessions, month by month.",
        ),
        (
            "/admin/templates",
            "mail",
            "Message texts",
            "What we write, to whom and how, with tests to oneself.",
        ),
        ("/admin/exports", "download", "Ledger exports", "Every transfer, a file for each day."),
        (
            "/admin/conduct",
            "clock",
            "Missed sessions",
            "Who is restricted after no-shows, and their appeals.",
        ),
        ("/mentors", "people", "Mentors", "The directory as mentees see it."),
        ("/api/docs", "grid", "API", "The reference of the JSON API."),
        ("/design", "globe", "Design", "The living style guide of these pages."),
    ]
    inbox = ("/dev/inbox", "mail", "Dev inbox", "Every message to anybody that would have left this demo.")
    return [inbox, *links] if demo else links


ROUTES = (page("GET", "/dashboard", dashboard, access=SignedIn()),)
