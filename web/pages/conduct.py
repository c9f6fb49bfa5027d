"""After no-shows: one's own page with the way to appeal, and the administrators' queue."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web as http

from server.conduct import actions as conduct
from server.conduct.model import MAX_WORDS, RULES
from server.people.model import Role
from web.access import RoleIs
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render, signed_in
from web.routing import page

PAGE_SIZE = 20


async def standing(request: http.Request) -> http.StreamResponse:
    _, user = await signed_in(request)
    found = await conduct.standing(context(request), user.id)
    return await render(
        request, "standing.html", standing=found, rules=RULES, longest=MAX_WORDS, role=user.role.value
    )


async def queue(request: http.Request) -> http.StreamResponse:
    show = "restricted" if request.query.get("show") == "restricted" else "appeals"
    found = await conduct.cases(
        context(request), appeals=show == "appeals", cursor=text_cursor(request), limit=PAGE_SIZE
    )
    cursor = found.next_cursor
    return await render(
        request,
        "conduct.html",
        items=found.items,
        show=show,
        longest=MAX_WORDS,
        next_href=f"/admin/conduct?{urlencode({'show': show, 'cursor': cursor})}" if cursor else None,
    )


ROUTES = (
    page("GET", "/standing", standing, access=RoleIs.of(Role.MENTOR, Role.MENTEE), summary="How one stands"),
    page("GET", "/admin/conduct", queue, access=RoleIs.of(Role.ADMIN), summary="Restrictions and appeals"),
)
