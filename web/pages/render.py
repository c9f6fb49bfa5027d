"""Answers a request with a page: who reads it, in which zone, and at what instant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from aiohttp import web as http
from jinja2 import Environment

from server.base.errors import NotFound, Unauthenticated
from server.conduct import actions as conduct
from server.inbox import actions as inbox
from server.people import actions as people
from server.people.model import User
from web import csrf
from web.context import context
from web.identity import log_out, visitor
from web.rendering import Reader, zone_or_utc

TEMPLATES: http.AppKey[Environment] = http.AppKey("page templates", Environment)
ZONE_COOKIE = "visavis-zone"  # set by static/js/main.js
# A token is kept in a session, and a session in Redis for days: passers-by get one only where they fill in a form.
ANONYMOUS_FORMS = frozenset({"login.html", "register.html"})
_READER: http.RequestKey[Reader] = http.RequestKey("reader", Reader)


async def reader_of(request: http.Request) -> Reader:
    """The reader of this request, looked up once. A login of somebody who is gone is ended."""
    if _READER in request:
        return request[_READER]
    ctx = context(request)
    user: User | None = None
    principal = visitor(request)
    if principal is not None:
        try:
            user = await people.get_user(ctx, principal.user_id)
        except NotFound:
            await log_out(request)
    reader = Reader(
        zone=zone_or_utc(user.timezone if user else unquote(request.cookies.get(ZONE_COOKIE, ""))),
        now=ctx.clock.now(),
        user=user,
        csrf_token=await csrf.token(request) if user else "",
        demo=ctx.settings.demo,
        unread=await inbox.unread(ctx, user.id) if user else 0,
        restricted_until=await conduct.restricted_until(ctx, user.id) if user else None,
    )
    request[_READER] = reader
    return reader


async def signed_in(request: http.Request) -> tuple[Reader, User]:
    """The reader of a page that needs a login. Raises Unauthenticated when the account behind the login is gone."""
    reader = await reader_of(request)
    if not isinstance(reader.user, User):
        raise Unauthenticated("sign_in_required", "Sign in to see this page.")
    return reader, reader.user


async def render(
    request: http.Request, template: str, *, status: int = 200, reader: Reader | None = None, **values: Any
) -> http.Response:
    """The page ``template`` with ``values``; ``reader`` when the page is written in another zone than usual."""
    writer = reader or await reader_of(request)
    if writer.user is None and template in ANONYMOUS_FORMS:
        writer = replace(writer, csrf_token=await csrf.token(request))
    page = request.app[TEMPLATES].get_template(template)
    text = page.render(reader=writer, reader_path=request.path, here=request.path_qs, **values)
    return http.Response(status=status, text=text, content_type="text/html", charset="utf-8")
