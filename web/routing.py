"""Routes as data: each is declared once, with who may call it, and only declared routes are ever answered.

A page::

    ROUTES = (
        page("GET", "/dashboard", dashboard, access=SignedIn()),
        page("POST", "/availability", save_availability, access=RoleIs.of(Role.MENTOR)),
        asset("/static/{version}/{path:.+}", assets.serve, summary="Files of the pages."),
    )

    async def dashboard(request: http.Request) -> http.StreamResponse:
        me = caller(request)                    # web.identity; SignedIn guarantees one
        ctx = context(request)                  # web.context
        ...

The gate (web/middleware.py) signs the caller in, checks ``access`` and, for unsafe methods, the CSRF token, before the
handler runs. A GET page that needs a login sends the visitor to ``/login?next=...`` (303). API routes are made by
``web.api.endpoint.endpoint``, which also records their models for OpenAPI.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from aiohttp import web as http
from pydantic import BaseModel

from web.access import Access, Public

Handler: TypeAlias = Callable[[http.Request], Awaitable[http.StreamResponse]]


class Surface(StrEnum):
    """What kind of caller a route speaks to; decides the form of a refusal."""

    PAGE = "page"  # a person: refusals are error pages, sign-in is a redirect
    API = "api"  # a program: refusals are problem documents (RFC 9457)
    SYSTEM = "system"  # an operator's machine: health, metrics
    SOCKET = "socket"  # a WebSocket upgrade
    ASSET = "asset"  # files that may be cached


@dataclass(frozen=True, slots=True)
class Contract:
    """What an API route promises: its models, its success status, the codes of its refusals."""

    reply: type[BaseModel] | None
    status: int = 200
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    description: str = ""
    refusals: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    idempotent: bool = False  # takes an Idempotency-Key
    # Where the bodies are not JSON: their media types, and the headers of success that matter.
    sends: str = ""
    replies: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. ``handler`` is the aiohttp handler; ``path`` uses aiohttp's ``{name}`` variables."""

    method: str
    path: str
    handler: Handler
    access: Access
    surface: Surface
    summary: str = ""
    tag: str = ""
    contract: Contract | None = None


Declared: TypeAlias = dict[tuple[str, str], Route]
DECLARED: http.AppKey[Declared] = http.AppKey("declared routes", dict)


def page(method: str, path: str, handler: Handler, *, access: Access, summary: str = "") -> Route:
    """A route for people."""
    return Route(method, path, handler, access, Surface.PAGE, summary)


def system(path: str, handler: Handler, *, summary: str) -> Route:
    """A GET for operators' machines, open to whoever reaches the port."""
    return Route("GET", path, handler, Public(), Surface.SYSTEM, summary, "system")


def asset(path: str, handler: Handler, *, summary: str) -> Route:
    """A GET for files that anybody may read and browsers may keep; the handler sets Cache-Control."""
    return Route("GET", path, handler, Public(), Surface.ASSET, summary)


async def _elsewhere(_request: http.Request) -> http.StreamResponse:
    raise AssertionError("declared here, handled by the part that added the route")


def declare(
    app: http.Application,
    method: str,
    path: str,
    *,
    access: Access,
    surface: Surface,
    summary: str,
    tag: str = "",
    contract: Contract | None = None,
) -> None:
    """Declare a route that another part (signalling) adds to ``app`` itself."""
    app[DECLARED][method, path] = Route(method, path, _elsewhere, access, surface, summary, tag, contract)


def install(app: http.Application, routes: Iterable[Route]) -> None:
    """Add ``routes`` to ``app`` and remember their declarations under ``(method, canonical path)``.

    Raises ValueError for a method and path declared twice.
    """
    if DECLARED not in app:
        app[DECLARED] = {}
    declared = app[DECLARED]
    for route in routes:
        if route.method == "GET":
            added = app.router.add_get(route.path, route.handler)  # answers HEAD as well
        else:
            added = app.router.add_route(route.method, route.path, route.handler)
        resource = added.resource
        key = route.method, resource.canonical if resource is not None else route.path
        if key in declared:
            raise ValueError(f"declared twice: {route.method} {route.path}")
        declared[key] = route


def declaration(request: http.Request) -> Route | None:
    """The declaration of the matched route; None when nothing matched or nobody declared it."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = "GET" if request.method == "HEAD" else request.method
    return request.app[DECLARED].get((method, resource.canonical))


def undeclared(app: http.Application) -> list[str]:
    """Routes of ``app`` that no table declares, as ``METHOD path``; the gate answers them with 404."""
    declared = app[DECLARED]
    return sorted(
        f"{route.method} {route.resource.canonical if route.resource else '?'}"
        for route in app.router.routes()
        if route.resource is None
        or ("GET" if route.method == "HEAD" else route.method, route.resource.canonical) not in declared
    )


def template(request: http.Request) -> str:
    """The matched route's path template, for metrics: a closed set, whatever people ask for."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"
