"""The API's own description: OpenAPI for programs, a reference page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from aiohttp import web as http
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web.access import Public, words
from web.openapi import document, refusals
from web.routing import DECLARED, Route, Surface, page

# Both are the same for the life of the process and depend on nothing but the tables.
OPENAPI: http.AppKey[bytes] = http.AppKey("openapi document", bytes)
REFERENCE: http.AppKey[str] = http.AppKey("api reference", str)

_env = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def publish(app: http.Application, *, server_url: str, stylesheets: tuple[str, ...]) -> None:
    """Write both from the routes declared so far and keep them on ``app``."""
    routes = [route for route in app[DECLARED].values() if route.contract is not None]
    described = document(routes, server_url=server_url, version=version("visavis"))
    app[OPENAPI] = json.dumps(described, separators=(",", ":")).encode()
    app[REFERENCE] = _env.get_template("reference.html").render(
        document=described, groups=_groups(routes), stylesheets=stylesheets
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
    return http.Response(body=request.app[OPENAPI], content_type="application/json")


async def reference(request: http.Request) -> http.StreamResponse:
    return http.Response(text=request.app[REFERENCE], content_type="text/html")


ROUTES = (
    Route("GET", "/api/openapi.json", openapi, Public(), Surface.API, "The OpenAPI 3.1 document."),
    page("GET", "/api/docs", reference, access=Public(), summary="The API reference."),
)
