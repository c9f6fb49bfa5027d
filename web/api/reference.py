"""The API's own description: OpenAPI for programs, a reference page for people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from aiohttp import web as http
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web.access import Public, words
from web.openapi import document, refusals
from web.routing import DECLARED, Route, Surface, page


@dataclass(frozen=True, slots=True)
class Description:
    """Both, as they are sent."""

    openapi: bytes
    reference: str


@dataclass(slots=True)
class Lazy:
    """Writes the description for its first reader and keeps it: the same for the life of the process.

    Writing takes 0.4 s of a processor, nine tenths of what a start would take otherwise; in a thread, since rooms may
    be open by then.
    """

    _write: Callable[[], Description]
    _written: Description | None = None
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def description(self) -> Description:
        async with self._writing:
            if self._written is None:
                self._written = await asyncio.to_thread(self._write)
        return self._written


DESCRIPTION: http.AppKey[Lazy] = http.AppKey("api description", Lazy)

_env = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def publish(app: http.Application, *, server_url: str, stylesheets: tuple[str, ...]) -> None:
    """Describe the routes declared so far, for whoever will ask ``app``."""
    routes = [route for route in app[DECLARED].values() if route.contract is not None]
    app[DESCRIPTION] = Lazy(lambda: _describe(routes, server_url, stylesheets))


def _describe(routes: list[Route], server_url: str, stylesheets: tuple[str, ...]) -> Description:
    described = document(routes, server_url=server_url, version=version("visavis"))
    page = _env.get_template("reference.html")
    return Description(
        json.dumps(described, separators=(",", ":")).encode(),
        page.render(document=described, groups=_groups(routes), stylesheets=stylesheets),
    )


def _groups(routes: Iterable[Route]) -> dict[str, list[dict[str, object]]]:
    groups: dict[str, list[dict[str, object]]] = {}
    for route in routes:
        contract = route.contract
        if contract is None:
            continue
        groups.setdefault(route.tag, []).append(
            {
                "method": route.method,
                "path": route.path,
                "summary": route.summary,
                "description": contract.description,
                "access": words(route.access),
                "status": contract.status,
                "body": contract.body.__name__ if contract.body else None,
                "sends": contract.sends,
                "replies": contract.replies,
                "headers": contract.headers,
                "query": contract.query.__name__ if contract.query else None,
                "parameters": _fields(contract.query),
                "reply": contract.reply.__name__.replace("[", "_").replace("]", "_")
                if contract.reply
                else None,
                "refusals": refusals(route, contract),
                "idempotent": contract.idempotent,
            }
        )
    return groups


def _fields(model: type | None) -> list[tuple[str, str]]:
    fields = getattr(model, "model_fields", {})
    return [(field.alias or name, field.description or "") for name, field in fields.items()]


async def openapi(request: http.Request) -> http.StreamResponse:
    description = await request.app[DESCRIPTION].description()
    return http.Response(body=description.openapi, content_type="application/json")


async def reference(request: http.Request) -> http.StreamResponse:
    description = await request.app[DESCRIPTION].description()
    return http.Response(text=description.reference, content_type="text/html")


ROUTES = (
    Route("GET", "/api/openapi.json", openapi, Public(), Surface.API, "The OpenAPI 3.1 document."),
    page("GET", "/api/docs", reference, access=Public(), summary="The API reference."),
)
