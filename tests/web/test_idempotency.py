"""A repeated POST with its key gets the first answer, and does nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from server.people.model import Role
from tests.web.conftest import Client, World, hour, open_hours
from web import store
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
