"""The administrators' pages: the board of what collides, and the log of merged sessions."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web as http

from server.conflicts import actions as conflicts
from server.merging import actions as merging
from server.people.model import Role
from web.access import RoleIs
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render
from web.routing import page

PAGE_SIZE = 30


def _next(path: str, cursor: str | None) -> str | None:
    return f"{path}?{urlencode({'cursor': cursor})}" if cursor else None


async def board(request: http.Request) -> http.StreamResponse:
    found = await conflicts.board(context(request), text_cursor(request), PAGE_SIZE)
    return await render(
        request,
        "conflicts.html",
        items=found.items,
        next_href=_next("/admin/conflicts", found.next_cursor),
    )


async def merges(request: http.Request) -> http.StreamResponse:
    found = await merging.listed(context(request), text_cursor(request), PAGE_SIZE)
    return await render(
        request, "merges.html", merges=found.items, next_href=_next("/admin/merges", found.next_cursor)
    )


ROUTES = (
    page("GET", "/admin/conflicts", board, access=RoleIs.of(Role.ADMIN), summary="What collides"),
    page("GET", "/admin/merges", merges, access=RoleIs.of(Role.ADMIN), summary="Merged sessions"),
)
