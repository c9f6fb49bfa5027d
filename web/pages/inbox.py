"""The inbox: what Visavis has told its reader, by day, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound
from server.inbox import actions as inbox
from server.inbox.model import Item, path_of
from web.access import SignedIn
from web.context import context
from web.pages.render import render, signed_in
from web.rendering import Reader, day_name
from web.routing import page


def by_day(items: Iterable[Item], reader: Reader) -> list[tuple[str, list[Item]]]:
    """The items under the names of their days in the reader's zone, in the given order."""
    days = groupby(items, key=lambda item: item.created_at.astimezone(reader.zone).date())
    return [(day_name(date, reader.now, reader.zone), list(found)) for date, found in days]


async def listed(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    cursor = request.query.get("cursor")
    found = await inbox.page(context(request), user.id, cursor)
    return await render(
        request,
        "inbox.html",
        days=by_day(found.items, reader),
        first=cursor is None,
        newest=found.items[0].id if found.items else None,
        next_href=f"/inbox?{urlencode({'cursor': found.next_cursor})}" if found.next_cursor else "",
    )


async def opened(request: http.Request) -> http.StreamResponse:
    """Mark one message as read and go where it leads. Twice, or fetched ahead by a browser, it does no harm."""
    _, user = await signed_in(request)
    try:
        wanted = UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("message_not_found", "There is no such message in your inbox.") from None
    ctx = context(request)
    item = await inbox.opened(ctx, user.id, wanted)
    raise http.HTTPSeeOther(path_of(item.url, ctx.settings.public_url) or "/inbox")


async def read_all(request: http.Request) -> http.StreamResponse:
    """The button where no script runs."""
    _, user = await signed_in(request)
    text = str((await request.post()).get("until", ""))
    try:
        until = UUID(text) if text else None
    except ValueError:
        until = None
    await inbox.mark_all_read(context(request), user.id, until)
    raise http.HTTPSeeOther("/inbox")


ROUTES = (
    page("GET", "/inbox", listed, access=SignedIn(), summary="What Visavis has told you"),
    page("GET", "/inbox/{id}", opened, access=SignedIn()),
    page("POST", "/inbox/read", read_all, access=SignedIn()),
)
