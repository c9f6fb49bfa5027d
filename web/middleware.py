"""What every request passes through: request id, log line and metrics; the gate; security headers on the way out."""

from __future__ import annotations

import re
import time
from urllib.parse import quote, urlsplit

import structlog
from aiohttp import web as http
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Histogram

from server.base.errors import NotFound
from server.base.ids import new_id
from server.settings import Settings
from web.access import RoomToken, admit, needs_sign_in
from web.csrf import protect
from web.identity import IDENTITY, Anonymous, Identity, resolve, visitor
from web.limits import address
from web.problems import REQUEST_ID
from web.routing import Surface, declaration, template

log = structlog.get_logger("visavis.access")

# What proxies and tracing tools send; anything else (log injection, kilobytes) is replaced.
_GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{8,64}")
REQUEST_SECONDS: http.AppKey[Histogram] = http.AppKey("http request histogram", Histogram)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observer() -> Middleware:
    """Name the request (X-Request-Id, in and out), time it by route template, and write one access line."""

    @http.middleware
    async def observe(request: http.Request, handler: Handler) -> http.StreamResponse:
        given = request.headers.get("X-Request-Id", "")
        request_id = given if _GOOD_REQUEST_ID.fullmatch(given) else new_id().hex
        request[REQUEST_ID] = request_id
        started = time.perf_counter()
        status = 500
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                response = await handler(request)
                status = response.status
                return response
            except http.HTTPException as redirect:
                status = redirect.status
                raise
            finally:
                seconds = time.perf_counter() - started
                _account(request, status, seconds)

    return observe


def _account(request: http.Request, status: int, seconds: float) -> None:
    route = template(request)
    method = request.method if request.method in _METHODS else "other"
    if status != 101:  # a WebSocket lasts as long as people talk; that is not a request's time
        request.app[REQUEST_SECONDS].labels(route, method, str(status)).observe(seconds)
    who = visitor(request)
    declared = declaration(request)
    # Probes and files would drown what people did.
    quiet = declared is not None and declared.surface in (Surface.SYSTEM, Surface.ASSET) and status < 500
    (log.debug if quiet else log.info)(
        "request",
        method=method,
        route=route,
        # A token in a path is a permission, and logs are read by more people than mails.
        path=route if "token" in request.match_info else request.path[:200],
        status=status,
        ms=round(seconds * 1000, 1),
        user_id=str(who.user_id) if who else None,
        remote=address(request),
    )


def gate() -> Middleware:
    """Let a request in: it must match a declared route, by somebody whom the declaration admits, from our own pages."""

    @http.middleware
    async def admit_request(request: http.Request, handler: Handler) -> http.StreamResponse:
        if request.match_info.http_exception is not None:
            return await handler(request)  # 404 or 405: nothing to guard
        route = declaration(request)
        if route is None:
            log.error("a route without a declaration was asked for", path=request.path[:200])
            raise NotFound("not_found", "There is nothing here.")
        if isinstance(route.access, RoomToken):
            request[IDENTITY] = Anonymous()  # the handler reads the token; a login plays no part
            return await handler(request)
        if route.surface in (Surface.ASSET, Surface.SYSTEM):
            return await handler(request)  # the same for everybody, and up while Redis is not
        who = await resolve(request)
        request[IDENTITY] = who
        principal = visitor(request)
        if isinstance(who, Anonymous) and who.away is not None and needs_sign_in(route.access):
            raise who.away  # what everybody may read is still shown, as to a passer-by
        if needs_sign_in(route.access) and principal is None:
            _turn_away(request, route.surface, who)
        admit(route.access, principal)
        await protect(request, route.surface, who)
        return await handler(request)

    return admit_request


def _turn_away(request: http.Request, surface: Surface, who: Identity) -> None:
    """Pages lead to the login and back; a bad bearer token is told why. Raises or returns to the plain 401."""
    if surface is Surface.PAGE and request.method in ("GET", "HEAD"):
        raise http.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='/')}")
    if isinstance(who, Anonymous) and who.bad_token is not None:
        raise who.bad_token


def security_headers(settings: Settings) -> dict[str, str]:
    """What every answer carries. Scripts, styles and sockets come from this host only; nobody may frame us."""
    public = urlsplit(settings.public_url)
    secure = public.scheme == "https"
    socket = f"{'wss' if secure else 'ws'}://{public.netloc}"
    policy = {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' blob:",
        # 'self' covers sockets of the page's own origin in current browsers; older ones need the name.
        "connect-src": f"'self' {socket}",
        "worker-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": (
            "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self),"
            " geolocation=(), payment=(), usb=()"
        ),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Server": "visavis",
    }
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return headers


def dress(app: http.Application, settings: Settings) -> None:
    """Put the security headers, the request id and a cautious Cache-Control on every answer of ``app``."""
    fixed = security_headers(settings)

    async def prepare(request: http.BaseRequest, response: http.StreamResponse) -> None:
        response.headers.update(fixed)
        response.headers.setdefault("Cache-Control", "no-store")
        if (request_id := request.get(REQUEST_ID)) is not None:
            response.headers["X-Request-Id"] = request_id

    app.on_response_prepare.append(prepare)
