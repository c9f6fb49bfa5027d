"""The development inbox for people: what would have left, with a filter and the calendar files."""

from __future__ import annotations

from uuid import UUID

from aiohttp import web as http

from server.base.errors import NotFound
from server.notifications import actions as notifications
from server.notifications.model import InboxItem
from server.people.model import Role
from web.access import RoleIs
from web.context import context
from web.pages.render import render
from web.routing import page


def matches(item: InboxItem, words: str, kind: str) -> bool:
    if kind and item.kind != kind:
        return False
    haystack = f"{item.recipient} {item.role} {item.subject} {item.text} {item.session_id or ''}".casefold()
    return all(word in haystack for word in words.casefold().split())


async def _items(request: http.Request) -> list[InboxItem]:
    ctx = context(request)
    if not ctx.settings.demo:
        raise NotFound("not_found", "There is nothing here.")
    return await notifications.inbox(ctx)


async def inbox(request: http.Request) -> http.StreamResponse:
    items = await _items(request)
    words, kind = request.query.get("q", "")[:200], request.query.get("kind", "")
    return await render(
        request,
        "dev_inbox.html",
        items=[item for item in items if matches(item, words, kind)],
        total=len(items),
        kinds=sorted({item.kind for item in items}),
        q=words,
        kind=kind,
    )


async def invitation(request: http.Request) -> http.StreamResponse:
    try:
        wanted = UUID(request.match_info["id"])
    except ValueError:
        wanted = None
    for item in await _items(request):
        if item.id == wanted and item.calendar is not None:
            return http.Response(
                text=item.calendar,
                content_type="text/calendar",
                charset="utf-8",
                headers={"Content-Disposition": 'attachment; filename="invite.ics"'},
            )
    raise NotFound("no_invitation", "This message has no calendar file.")


ROUTES = (
    page("GET", "/dev/inbox", inbox, access=RoleIs.of(Role.ADMIN), summary="Development inbox"),
    page("GET", "/dev/inbox/{id}/invite.ics", invitation, access=RoleIs.of(Role.ADMIN)),
)
