"""Every refusal is a problem document with a stable code, all faults at once, and says nothing about the inside."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog
from aiohttp import web as http

from server.base.ids import new_id
from server.people.model import Role
from tests.web.conftest import API, PASSWORD, Reply, World, hour, open_hours
from web.access import Public
from web.routing import Surface, declare, install, system, undeclared


def assert_problem(reply: Reply, status: int, code: str) -> dict[str, Any]:
    assert (reply.status, reply.json and reply.json.get("code")) == (status, code), reply.text
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    document: dict[str, Any] = reply.json
    assert document["status"] == status and document["title"] and document["detail"]
    assert document["type"] == f"urn:visavis:problem:{code}"
    return document


def fields(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(fault["field"], fault["code"]) for fault in document["errors"]}


async def raw(world: World, method: str, path: str, body: bytes, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with world.http.request(method, world.base + path, data=body, headers=named) as response:
        return await Reply.of(response)


async def test_all_faults_of_a_registration_come_at_once(world: World) -> None:
    wrong = {"email": "nobody", "password": "short", "name": " ", "role": "mentor", "timezone": "Mars/Base"}
    document = assert_problem(await world.nobody.post("/auth/register", wrong), 422, "invalid_input")
    assert fields(document) == {
        ("email", "bad_email"), ("password", "too_short"), ("name", "required"), ("timezone", "unknown_timezone"),
    }  # fmt: skip


async def test_faults_of_shape_and_of_substance_come_together(world: World) -> None:
    wrong = {"email": "nobody", "password": 7, "role": "admin", "timezone": "Mars/Base", "surprise": 1}
    document = assert_problem(await world.nobody.post("/auth/register", wrong), 422, "invalid_input")
    assert fields(document) == {
        ("email", "bad_email"), ("password", "string_type"), ("name", "required"), ("role", "literal_error"),
        ("timezone", "unknown_timezone"), ("surprise", "unknown_field"),
    }  # fmt: skip


async def test_faults_of_opening_hours(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    body = {
        "timezone": "Nowhere/Else",
        "weekly": [{"weekday": 9, "start": "25:00", "end": "10:00"}, {"weekday": "1", "start": "09:00"}],
        "slot_minutes": "long",
    }
    document = assert_problem(await mentor.call("PUT", "/me/availability", body), 422, "invalid_input")
    named = {field for field, _ in fields(document)}
    assert {"weekly.0.weekday", "weekly.0.start", "weekly.1.weekday", "weekly.1.end", "slot_minutes"} <= named


async def test_bodies_that_are_no_json(world: World) -> None:
    login = f"{API}/auth/login"
    kind = {"Content_Type": "application/json"}
    assert_problem(await raw(world, "POST", login, b"{", **kind), 400, "malformed_json")
    assert_problem(await raw(world, "POST", login, b"[" * 100_000, **kind), 400, "malformed_json")
    assert_problem(await raw(world, "POST", login, b'{"email": "\xff"}', **kind), 400, "malformed_json")
    assert_problem(await raw(world, "POST", login, b"[1]", **kind), 422, "invalid_input")
    assert_problem(
        await raw(world, "POST", login, b"a=1", Content_Type="text/plain"), 415, "unsupported_media_type"
    )
    nul = json.dumps({"email": "a\0@example.org", "password": "x"}).encode()
    document = assert_problem(await raw(world, "POST", login, nul, **kind), 422, "invalid_input")
    assert fields(document) == {("email", "control_character")}


async def test_a_body_over_one_mebibyte_is_refused(world: World) -> None:
    large = b'{"email": "' + b"a" * (1024 * 1024) + b'"}'
    reply = await raw(world, "POST", f"{API}/auth/login", large, Content_Type="application/json")
    assert_problem(reply, 413, "body_too_large")


async def test_unknown_addresses_and_methods(world: World) -> None:
    assert_problem(await world.nobody.get("/nothing/here"), 404, "not_found")
    wrong = await world.nobody.call("DELETE", "/auth/login")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["Allow"] == "POST"
    mentee = await world.person(Role.MENTEE)
    assert_problem(await mentee.get("/bookings/not-a-uuid"), 404, "not_found")
    assert_problem(await mentee.get(f"/bookings/{new_id()}"), 404, "booking_not_found")
    # People get a page.
    page = await world.nobody.get("//nothing/here")
    assert page.status == 404 and page.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=%00",
        "cursor=abc",
        "status=lost",
        "from=yesterday",
        "from=1700000000",
    ],
)
async def test_bad_queries(world: World, query: str) -> None:
    mentee = await world.person(Role.MENTEE)
    assert_problem(await mentee.get(f"/bookings?{query}"), 422, "invalid_input")


async def test_instants_need_a_zone(world: World) -> None:
    mentee = await world.person(Role.MENTEE)
    body = {"mentor_id": "x", "start": "2026-03-03T10:00:00", "end": 1772532000}
    document = assert_problem(await mentee.post("/bookings", body), 422, "invalid_input")
    assert fields(document) == {
        ("mentor_id", "uuid_parsing"), ("start", "zone_required"), ("end", "rfc3339_required"),
    }  # fmt: skip


async def test_tokens_that_are_none(world: World) -> None:
    for authorization in ("Bearer nonsense", "Bearer ", "bearer a.b.c"):
        reply = await world.nobody.get("/me", Authorization=authorization)
        assert reply.status == 401 and reply.headers["WWW-Authenticate"] == "Bearer", authorization
    assert_problem(await world.nobody.get("/me", Authorization="Basic eDp5"), 401, "sign_in_required")
    # A stale token on a public route is no obstacle.
    assert (await world.nobody.get("/mentors", Authorization="Bearer nonsense")).status == 200


async def test_nobody_pays_with_tokens_they_do_not_have(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    poor = await world.person(Role.MENTEE, tokens=1)
    await open_hours(mentor)
    reply = await poor.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})
    assert_problem(reply, 402, "insufficient_tokens")
    assert (await poor.get("/bookings")).json["items"] == []


async def test_an_unexpected_error_is_logged_once_and_tells_nothing(world: World) -> None:
    with structlog.testing.capture_logs() as logs:
        await world.ctx.pool.close()  # from here on every question to it is an InterfaceError
        mentee_reply = await world.nobody.post(
            "/auth/login", {"email": "a@example.org", "password": PASSWORD}
        )
    document = assert_problem(mentee_reply, 500, "internal_error")
    assert "pool" not in mentee_reply.text.lower() and "asyncpg" not in mentee_reply.text.lower()
    errors = [entry for entry in logs if entry["log_level"] == "error"]
    assert len(errors) == 1
    assert errors[0]["request_id"] == document["request_id"] == mentee_reply.headers["X-Request-Id"]


async def test_too_many_logins(world: World) -> None:
    body = {"email": "guess@example.org", "password": "wrong password"}
    replies = [await world.nobody.post("/auth/login", body) for _ in range(11)]
    assert [reply.status for reply in replies] == [401] * 10 + [429]
    assert_problem(replies[-1], 429, "rate_limited")
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 60
    # Success wipes the slate clean: whoever knows the password is never counted out.
    mentee = await world.person(Role.MENTEE)
    await world.give_password(mentee)
    assert mentee.user is not None
    own = {"email": mentee.user.email, "password": PASSWORD}
    assert {(await world.nobody.post("/auth/login", own)).status for _ in range(12)} == {200}
    # Somebody else at the same address is not in the way.
    other = await world.nobody.post("/auth/login", {**body, "email": "other@example.org"})
    assert other.status == 401


async def test_limits_are_per_person_and_let_go(world: World) -> None:
    mentees = await world.people(Role.MENTEE, 2)
    body = {"reason": ""}
    missing = f"/bookings/{new_id()}/cancel"
    replies = await asyncio.gather(*(mentees[0].post(missing, body) for _ in range(31)))
    assert sorted(reply.status for reply in replies) == [404] * 30 + [429]
    assert (await mentees[1].post(missing, body)).status == 404


async def test_security_headers_are_on_every_answer(world: World) -> None:
    for path in ("//", "//healthz", "/me", "//nothing", "//api/docs", "/mentors"):
        headers = (await world.nobody.get(path)).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy, path
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "camera=(self)" in headers["Permissions-Policy"]
        assert headers["Referrer-Policy"] and "aiohttp" not in headers["Server"]


async def test_request_ids_are_kept_when_they_are_harmless(world: World) -> None:
    assert (await world.nobody.get("/mentors", X_Request_Id="abc-123-def")).headers[
        "X-Request-Id"
    ] == "abc-123-def"
    for bad in ("short", "x" * 65, "with space and more", "<script>alert(1)</script>"):
        assert (await world.nobody.get("/mentors", X_Request_Id=bad)).headers["X-Request-Id"] != bad


def test_a_route_is_declared_once() -> None:
    app = http.Application()

    async def handler(_request: http.Request) -> http.StreamResponse:
        return http.Response()

    install(app, [system("/a", handler, summary="")])
    with pytest.raises((ValueError, RuntimeError)):
        install(app, [system("/a", handler, summary="")])
    app.router.add_get("/b", handler)
    assert undeclared(app) == ["GET /b", "HEAD /b"]
    declare(app, "GET", "/b", access=Public(), surface=Surface.API, summary="")
    assert undeclared(app) == []
