"""Cross-site request forgery: one token per login session, and the browser's own word where a request comes from.

For pages: put ``await csrf.token(request)`` into the hidden field ``csrf_token`` of every form, and into a
``<meta name="csrf-token">`` that scripts send back as ``X-CSRF-Token``. Nothing else to do: the gate checks it.
Login and register forms work the same (an anonymous visitor gets a session just for the token).
"""

from __future__ import annotations

import secrets

from aiohttp import web as http
from aiohttp_session import get_session

from server.base.errors import Forbidden
from server.base.sockets import at_home
from web.context import CONTEXT
from web.identity import Anonymous, ByBearer, ByCookie, Identity
from web.routing import Surface

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SESSION_KEY = "csrf"
_FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


async def token(request: http.Request) -> str:
    """The token of this visitor's session, made on first use."""
    session = await get_session(request)
    known = session.get(_SESSION_KEY)
    if isinstance(known, str):
        return known
    made = secrets.token_urlsafe(32)
    session[_SESSION_KEY] = made
    return made


async def protect(request: http.Request, surface: Surface, identity: Identity) -> None:
    """Check an unsafe request. Bearer requests pass: no browser adds that header by itself.

    A cookie request needs the token wherever it goes. An anonymous one needs it on pages (login, register); on the API
    it carries nothing a forger could abuse, and only JSON bodies are read there.
    Raises Forbidden ``cross_site`` or ``csrf_token_invalid``.
    """
    if request.method in SAFE_METHODS:
        return
    match identity:
        case ByBearer():
            return
        case ByCookie():
            _same_origin(request)
            await _check_token(request)
        case Anonymous():
            _same_origin(request)
            if surface is Surface.PAGE:
                await _check_token(request)


def _same_origin(request: http.Request) -> None:
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    home = at_home(origin, request.host, request.app[CONTEXT].settings.public_url)
    if not home or site not in (None, "same-origin", "none"):
        raise Forbidden("cross_site", "This request came from another site.")


async def _check_token(request: http.Request) -> None:
    given = request.headers.get(HEADER)
    if given is None and request.content_type in _FORM_TYPES:
        value = (await request.post()).get(FIELD)
        given = value if isinstance(value, str) else None
    known = (await get_session(request)).get(_SESSION_KEY)
    if (
        given is None
        or not isinstance(known, str)
        or not secrets.compare_digest(given.encode("utf-8", "surrogatepass"), known.encode())
    ):
        raise Forbidden("csrf_token_invalid", "The form has expired. Load the page again and retry.")
