"""How many seats of a group session are left, wherever its times are shown."""

from __future__ import annotations

from typing import Any

from server.people.model import Role
from tests.web.conftest import Client, World, hour, open_hours

SPAN = "?from=2026-03-03T00:00:00Z&to=2026-03-04T00:00:00Z&tz=UTC"


async def shown(reader: Client, mentor: Client) -> Any:
    reply = await reader.get(f"/mentors/{mentor.id}/slots{SPAN}")
    assert reply.status == 200
    return reply.json


async def test_a_seat_that_is_taken_leaves_one_less_until_it_is_sold_out(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    await open_hours(mentor, capacity=2)
    first, second, third = await world.people(Role.MENTEE, 3, tokens=100)
    ten = hour(1, 10)

    async def left() -> int | None:
        """None: not among the slots."""
        answer = await shown(first, mentor)
        others = {it["seats_left"] for it in answer["slots"] if it["start"] != ten["start"]}
        assert others == {2}
        assert answer["sold_out"] in ([], [ten])
        of = {it["start"]: it["seats_left"] for it in answer["slots"]}
        assert (ten["start"] in of) == (answer["sold_out"] == [])
        return of.get(ten["start"])

    assert await left() == 2
    wanted = {"mentor_id": str(mentor.id), **ten}
    made = await first.post("/bookings", wanted)
    assert made.status == 201 and await left() == 1
    assert (await second.post("/bookings", wanted)).status == 201
    assert await left() is None
    refused = await third.post("/bookings", wanted)
    assert (refused.status, refused.json["code"]) == (409, "group_full")
    assert (await first.post(f"/bookings/{made.json['id']}/cancel")).status == 200
    assert await left() == 1


async def test_one_seat_is_no_group(world: World) -> None:
    mentor, reader = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    assert (await reader.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})).status == 201
    answer = await shown(reader, mentor)
    assert answer["slots"] and answer["sold_out"] == []
    assert all(set(it) == {"start", "end"} for it in answer["slots"])
