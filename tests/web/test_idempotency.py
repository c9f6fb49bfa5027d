"""A repeated POST with its key gets the first answer, and does nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aiohttp.test_utils import TestServer

from server.app import MEDIA, build_app
from server.base.db import Conn
from server.base.errors import Conflict
from server.booking.model import Booking
from server.people.model import Role
from server.sessions import actions as sessions
from signaling import MediaEvents
from tests.support.fuses import Doomed, doomed_pool
from tests.web.conftest import NOW, Client, World, hour, open_hours
from web import store
from web.context import STORES
from web.idempotency import FORGOTTEN_AFTER, STUCK_AFTER


async def pair(world: World, tokens: int = 100) -> tuple[Client, Client]:
    mentor = await world.person(Role.MENTOR)
    await open_hours(mentor)
    return mentor, await world.person(Role.MENTEE, tokens=tokens)


async def test_the_same_key_and_body_get_the_same_answer(world: World) -> None:
    mentor, mentee = await pair(world)
    wanted = {"mentor_id": str(mentor.id), **hour(1, 10)}
    first = await mentee.post("/bookings", wanted, Idempotency_Key="k-1")
    again = await mentee.post("/bookings", wanted, Idempotency_Key="k-1")
    assert (first.status, again.status) == (201, 201)
    assert first.json == again.json and first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers and again.headers["Idempotency-Replayed"] == "true"
    assert len((await mentee.get("/bookings")).json["items"]) == 1

    other = await mentee.post("/bookings", {**wanted, "topic": "Other"}, Idempotency_Key="k-1")
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")
    # Keys are a person's own.
    neighbour = await world.person(Role.MENTEE, tokens=100)
    reply = await neighbour.post("/bookings", wanted, Idempotency_Key="k-1")
    assert (reply.status, reply.json["code"]) == (409, "booking_conflict")


async def test_a_refusal_is_remembered_as_well(world: World) -> None:
    mentor, mentee = await pair(world, tokens=1)
    wanted = {"mentor_id": str(mentor.id), **hour(1, 10)}
    replies = [await mentee.post("/bookings", wanted, Idempotency_Key="poor") for _ in range(2)]
    assert [reply.status for reply in replies] == [402, 402]
    assert replies[0].json == replies[1].json
    assert replies[1].headers["Content-Type"].startswith("application/problem+json")
    assert replies[1].headers["Idempotency-Replayed"] == "true"


async def test_bad_keys_and_bad_bodies_leave_nothing(world: World) -> None:
    mentor, mentee = await pair(world)
    bad = await mentee.post(
        "/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)}, Idempotency_Key="x" * 201
    )
    assert (bad.status, bad.json["errors"][0]["field"]) == (422, "Idempotency-Key")
    assert (await mentee.post("/bookings", {}, Idempotency_Key="fresh")).status == 422
    good = await mentee.post(
        "/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)}, Idempotency_Key="fresh"
    )
    assert good.status == 201


async def test_simultaneous_requests_with_one_key_do_it_once(world: World) -> None:
    mentor, mentee = await pair(world)
    wanted = {"mentor_id": str(mentor.id), **hour(1, 10)}
    replies = await asyncio.gather(
        *(mentee.post("/bookings", wanted, Idempotency_Key="same") for _ in range(12))
    )
    kinds = Counter((reply.status, reply.json.get("code")) for reply in replies)
    assert set(kinds) <= {(201, None), (409, "idempotency_in_progress")} and kinds[201, None] >= 1
    assert len({reply.json["id"] for reply in replies if reply.status == 201}) == 1
    assert len((await mentee.get("/bookings")).json["items"]) == 1


async def claim(world: World, mentee: Client, wanted: bytes, age: timedelta) -> store.KeptAnswer | None:
    now = world.clock.now()
    async with world.ctx.pool.acquire() as conn:
        return await store.claim_key(
            conn, mentee.id, "dead", route="POST /x", request_hash=wanted, now=now - age,
            stuck_before=now - age - STUCK_AFTER, forgotten_before=now - age - FORGOTTEN_AFTER,
        )  # fmt: skip


async def test_a_claim_of_a_dead_process_is_in_progress_then_taken_over(world: World) -> None:
    mentee = await world.person(Role.MENTEE)
    assert await claim(world, mentee, b"one", STUCK_AFTER + timedelta(seconds=1)) is None
    # By another body: no. By the same one: the work begins again, once.
    kept = await claim(world, mentee, b"two", timedelta())
    assert kept is not None and kept.request_hash == b"one"
    assert await claim(world, mentee, b"one", timedelta()) is None
    running = await claim(world, mentee, b"one", timedelta())
    assert running is not None and running.status is None


@pytest.fixture
async def doomed(world: World, database_url: str) -> AsyncIterator[tuple[Doomed, World]]:
    """A second web process of the same product, which can be killed at any statement."""
    async with doomed_pool(database_url) as doomed:
        ctx = replace(world.ctx, pool=doomed.pool)
        app = build_app(ctx, world.app[STORES].redis, world.app[MEDIA], MediaEvents())
        async with TestServer(app) as server:
            yield doomed, replace(world, app=app, ctx=ctx, base=f"http://{server.host}:{server.port}")


@pytest.mark.parametrize(("path", "last"), [("/bookings", 100), ("/bookings/series", 6)])
async def test_killed_at_any_statement_a_repetition_gets_the_201(
    world: World, doomed: tuple[Doomed, World], path: str, last: int
) -> None:
    """The booking and its answer are one commit: whatever was lost on the way, the same key gets the same booking."""
    dying, doomed_world = doomed

    async def people() -> tuple[Client, dict[str, object]]:
        mentor, mentee = await pair(world)
        return mentee, {"mentor_id": str(mentor.id), **hour(1, 10)} | (
            {"weeks": 2} if "series" in path else {}
        )

    mentee, wanted = await people()
    await dying.arm(1000, after=True)
    first = await replace(mentee, base=doomed_world.base).post(path, wanted, Idempotency_Key="k")
    assert first.status == 201
    statements = 1000 - dying.fuse.left
    answered = 0
    for statement in range(max(1, statements - last + 1), statements + 1):
        mentee, wanted = await people()
        await dying.arm(statement, after=True)
        first = await replace(mentee, base=doomed_world.base).post(path, wanted, Idempotency_Key="k")
        assert first.status == 500 and not dying.disarm()
        made = await world.ctx.pool.fetchval("SELECT count(*) FROM bookings WHERE mentee_id = $1", mentee.id)
        again = await mentee.post(path, wanted, Idempotency_Key="k")
        if made:
            assert again.status == 201 and again.headers["Idempotency-Replayed"] == "true"
            answered += 1
        elif again.status != 201:  # claimed, and nothing done: the claim lapses, and the work is done then
            assert again.json["code"] == "idempotency_in_progress"
            await world.ctx.pool.execute(
                "UPDATE idempotency_keys SET created_at = created_at - $1::interval WHERE user_id = $2",
                STUCK_AFTER + timedelta(seconds=1), mentee.id,
            )  # fmt: skip
            again = await mentee.post(path, wanted, Idempotency_Key="k")
            assert again.status == 201
        listed = (await mentee.get("/bookings")).json["items"]
        assert len(listed) == (2 if "series" in path else 1)
        assert {it["id"] for it in listed} == {it["id"] for it in again.json.get("items", [again.json])}
    assert answered >= 2, "the commit, and what is said after it"


async def test_who_lost_his_claim_cannot_commit_any_more(world: World) -> None:
    """A request that slept through its minute finds its work rolled back, and the other one's answer standing."""
    mentor, mentee = await pair(world)
    now = world.clock.now()

    async def stale(conn: Conn, made: Booking) -> None:
        if not await store.keep_answer(conn, mentee.id, "lost", claimed_at=now, status=201, response={}):
            raise Conflict("idempotency_in_progress", "Taken over.")

    start = NOW.replace(hour=10) + timedelta(days=1)
    with pytest.raises(Conflict):
        await sessions.book(
            world.ctx, mentee.id, mentor_id=mentor.id, start=start, end=start + timedelta(hours=1), then=stale
        )
    assert (await mentee.get("/bookings")).json["items"] == []
