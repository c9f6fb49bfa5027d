"""Testimonials as pages: the one behind a mail's link, and the queue administrators read."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web as http

from server.base.errors import Refusal
from server.people.model import Role
from server.testimonials import actions as testimonials
from server.testimonials.model import LONGEST
from web.access import Public, RoleIs
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render
from web.routing import page

PAGE_SIZE = 20
DECIDED = 5  # of the latest decisions, below the queue, to take one back
# What a text is mostly rejected for; the first is what one keystroke says.
REASONS = (
    "It is not about the session.",
    "It names other people or private details.",
    "It is insulting.",
    "It advertises something.",
)


async def by_link(request: http.Request) -> http.StreamResponse:
    """Shows only: programs that look into mails open links, too."""
    token = request.match_info["token"]
    try:
        opened = await testimonials.open_link(context(request), token)
    except Refusal as refusal:
        return await render(
            request, "testimonial.html", status=refusal.http_status, refusal=refusal, opened=None
        )
    return await render(
        request, "testimonial.html", refusal=None, opened=opened, token=token, longest=LONGEST
    )


async def queue(request: http.Request) -> http.StreamResponse:
    ctx = context(request)
    found = await testimonials.queue(ctx, text_cursor(request), PAGE_SIZE)
    cursor = found.next_cursor
    return await render(
        request,
        "testimonials.html",
        items=found.items,
        decided=(await testimonials.decided(ctx, limit=DECIDED)).items,
        reasons=REASONS,
        next_href=f"/admin/testimonials?{urlencode({'cursor': cursor})}" if cursor else None,
    )


ROUTES = (
    page("GET", "/testimonials/{token}", by_link, access=Public(), summary="What a mail asks to say"),
    page("GET", "/admin/testimonials", queue, access=RoleIs.of(Role.ADMIN), summary="Testimonials to read"),
)
