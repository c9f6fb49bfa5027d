"""Every route says who may call it, and means it."""

from __future__ import annotations

import re
from typing import Any

from server.base.ids import new_id
from server.people.model import Role
from tests.web.conftest import Client, World, hour, open_hours
from web.access import LoginOrHello, Owner, Public, RoomToken, needs_sign_in, roles_of
from web.routing import DECLARED, Route, Surface, undeclared

# What a stranger must send so that only ownership is left to refuse.
BODIES: dict[str, Any] = {
    "/api/v1/bookings/{id}/reschedule": hour(2, 12),
    "/api/v1/bookings/{id}/reject": {"reason": "because"},
    "/api/v1/bookings/{id}/cancel": {"reason": "because"},
    "/api/v1/sessions/{id}/confirmation": {"answer": "yes"},
    "/api/v1/sessions/{id}/testimonial": {"stars": 5, "text": "Good."},
    "/api/v1/sessions/{id}/review": {"reason": "because"},
    "/api/v1/me/destinations/{id}/verify": {"code": "042195"},
}


def filled(path: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)(:[^{}]*)?\}", lambda found: values.get(found[1], "x"), path)


def routes(world: World) -> list[Route]:
    by_handler = RoomToken | LoginOrHello  # which read a token themselves; /ws: tests/web/test_live.py
    found = [route for route in world.app[DECLARED].values() if not isinstance(route.access, by_handler)]
    assert len(found) > 40
    return found


async def call(client: Client, route: Route, values: dict[str, str]) -> int:
    body = BODIES.get(route.path) if route.method not in ("GET", "DELETE") else None
    return (await client.call(route.method, "/" + filled(route.path, values), body)).status


async def test_nothing_is_reachable_without_a_declaration(world: World) -> None:
    assert undeclared(world.app) == []
    by_room_token = {r.path for r in world.app[DECLARED].values() if isinstance(r.access, RoomToken)}
    doors = {"/whip/{id}", "/whip/{id}/{resource}", "/whep/{id}", "/whep/{id}/{resource}"}
    assert by_room_token == {"/ws/sessions/{id}", *doors}
    assert [r.path for r in world.app[DECLARED].values() if isinstance(r.access, LoginOrHello)] == ["/ws"]


async def test_nobody_gets_past_a_sign_in(world: World) -> None:
    faults = []
    for route in routes(world):
        status = await call(world.nobody, route, {"id": str(new_id())})
        if needs_sign_in(route.access):
            wanted = {303} if route.surface is Surface.PAGE and route.method == "GET" else {401}
        else:
            # A public page may lead elsewhere; its form needs the CSRF token.
            wanted = {200, 303, 404, 422} | (
                {403} if route.surface is Surface.PAGE and route.method != "GET" else set()
            )
        if status not in wanted:
            faults.append(f"{route.method} {route.path}: {status}, not {wanted}")
    assert not faults, "\n".join(faults)


async def test_the_wrong_role_is_refused(world: World) -> None:
    people = {role: await world.person(role) for role in Role}
    faults, checked = [], 0
    for route in routes(world):
        for role in set(Role) - roles_of(route.access):
            checked += 1
            if (status := await call(people[role], route, {"id": str(new_id())})) != 403:
                faults.append(f"{route.method} {route.path} as {role}: {status}")
    assert not faults, "\n".join(faults)
    assert checked >= 10


async def test_strangers_do_not_get_what_belongs_to_others(world: World) -> None:
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    booked = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})).json
    assert (await mentor.post(f"/bookings/{booked['id']}/approve")).status == 200
    given = {"channel": "sms", "address": "+491701234567"}
    number = (await mentee.post("/me/destinations", given)).json
    things = {"booking": booked["id"], "session": booked["session_id"], "destination": number["id"]}
    strangers = [await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)]
    owned = [route for route in routes(world) if isinstance(route.access, Owner)]
    assert {route.access.thing for route in owned if isinstance(route.access, Owner)} == set(things)
    for route in owned:
        assert isinstance(route.access, Owner)
        for stranger in strangers:
            assert stranger.user is not None
            status = await call(stranger, route, {"id": things[route.access.thing]})
            assert status in (403, 404), f"{route.method} {route.path} as {stranger.user.role}: {status}"
    # Nothing happened to it.
    after = (await mentee.get(f"/bookings/{booked['id']}")).json
    assert (after["status"], after["start"]) == ("approved", booked["start"])
    assert [it["id"] for it in (await mentee.get("/me/notifications")).json["destinations"]] == [number["id"]]


async def test_the_inbox_is_for_administrators_in_demo_mode(world: World) -> None:
    assert (await (await world.person(Role.MENTOR)).get("//dev/inbox.json")).status == 403
    reply = await (await world.person(Role.ADMIN)).get("//dev/inbox.json")
    assert reply.status == 200 and reply.json == {"items": []}


async def test_signing_in_as_nobody_special(world: World) -> None:
    """The role comes from the token and cannot be asked for."""
    mentee = await world.person(Role.MENTEE)
    assert (await mentee.get("//dev/inbox.json", X_Role="admin")).status == 403
    public = [route for route in routes(world) if isinstance(route.access, Public)]
    assert {route.path for route in public if route.surface is Surface.SYSTEM} == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/integrations/google/push",  # proved by the token of its channel
        "/integrations/microsoft/push",  # by the same, in its clientState
    }
