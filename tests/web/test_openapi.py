"""The API's description says what the routes do, because it is made of them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from server.people.model import Role
from tests.web.conftest import World, hour, open_hours
from web.access import needs_sign_in
from web.api.reference import DESCRIPTION
from web.routing import DECLARED


async def document(world: World) -> dict[str, Any]:
    reply = await world.nobody.get("//api/openapi.json")
    assert reply.status == 200
    found: dict[str, Any] = reply.json
    return found


async def test_it_is_valid_and_complete(world: World) -> None:
    spec = await document(world)
    validate(spec)
    assert spec["openapi"].startswith("3.1")
    described = {
        (method.upper(), path): operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    }
    routes = {
        (route.method, re.sub(r"\{(\w+):.*\}", r"{\1}", route.path)): route
        for route in world.app[DECLARED].values()
        if route.path.startswith("/api/v1/")
    }
    assert routes.keys() <= described.keys()
    assert len(routes) >= 25
    for key, route in routes.items():
        assert bool(described[key]["security"]) == needs_sign_in(route.access), key
    ids = [operation["operationId"] for operation in described.values()]
    assert len(ids) == len(set(ids))


async def test_real_answers_fit_their_schemas(world: World) -> None:
    spec = await document(world)
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    booked = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})
    await mentor.post(f"/bookings/{booked.json['id']}/approve")
    session = booked.json["session_id"]
    checked = {
        ("post", "/api/v1/bookings", "201"): booked,
        ("get", "/api/v1/me", "200"): await mentor.get("/me"),
        ("get", "/api/v1/mentors", "200"): await mentor.get("/mentors"),
        ("get", "/api/v1/mentors/{id}/slots", "200"): await mentor.get(f"/mentors/{mentor.id}/slots"),
        ("get", "/api/v1/me/availability", "200"): await mentor.get("/me/availability"),
        ("get", "/api/v1/bookings", "200"): await mentee.get("/bookings"),
        ("get", "/api/v1/sessions/{id}", "200"): await mentee.get(f"/sessions/{session}"),
        ("get", "/api/v1/sessions/{id}/attendance", "200"): await mentee.get(
            f"/sessions/{session}/attendance"
        ),
        ("get", "/api/v1/wallet/transfers", "200"): await mentee.get("/wallet/transfers"),
        ("get", "/api/v1/me", "401"): await world.nobody.get("/me"),
    }
    for (method, path, status), reply in checked.items():
        assert str(reply.status) == status, reply.text
        content = spec["paths"][path][method]["responses"][status]["content"]
        schema = next(iter(content.values()))["schema"]
        validator = Draft202012Validator({**schema, "components": spec["components"]})
        assert not [error.message for error in validator.iter_errors(reply.json)], (path, reply.text)


async def test_the_reference_lists_every_route_and_needs_no_script(world: World) -> None:
    page = await world.nobody.get("//api/docs")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    for route in world.app[DECLARED].values():
        if route.contract is not None:
            assert f"{route.method} {route.path}" in page.text
    assert "<script" not in page.text and " style=" not in page.text and "https://" not in page.text
    for address in re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text):
        assert (await world.nobody.get("/" + address)).status == 200


async def test_it_is_written_for_the_first_who_asks_and_kept(world: World) -> None:
    description = world.app[DESCRIPTION]
    first, second = await asyncio.gather(description.description(), description.description())
    assert first is second
    assert (await world.nobody.get("//api/openapi.json")).text.encode() == first.openapi
    assert (await world.nobody.get("//api/docs")).text == first.reference
