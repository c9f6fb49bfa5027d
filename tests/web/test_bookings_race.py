"""Two hundred people want the same hour at the same moment."""

from __future__ import annotations

import asyncio
from collections import Counter

from server.people.model import Role
from tests.web.conftest import World, hour, open_hours

CROWD = 200


async def test_one_gets_the_slot_and_the_money_adds_up(world: World) -> None:
    mentor = await world.person(Role.MENTOR)
    await open_hours(mentor)
    assert (await mentor.call("PATCH", "/me", {"price_tokens": 30})).status == 200
    crowd = await world.people(Role.MENTEE, CROWD, tokens=100)
    wanted = {"mentor_id": str(mentor.id), **hour(1, 10)}

    replies = await asyncio.gather(*(mentee.post("/bookings", wanted) for mentee in crowd))

    assert Counter(reply.status for reply in replies) == {201: 1, 409: CROWD - 1}
    assert {reply.json["code"] for reply in replies if reply.status == 409} == {"booking_conflict"}
    winner = next(mentee for mentee, reply in zip(crowd, replies, strict=True) if reply.status == 201)
    wallets = await asyncio.gather(*(mentee.get("/wallet") for mentee in crowd))
    for mentee, wallet in zip(crowd, wallets, strict=True):
        held = 30 if mentee is winner else 0
        assert (wallet.json["held_tokens"], wallet.json["balance_tokens"] % 100) == (held, (100 - held) % 100)
    async with world.ctx.pool.acquire() as conn:
        assert await conn.fetchval("SELECT sum(balance) FROM accounts") == 0
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 1
        assert await conn.fetchval("SELECT count(*) FROM transfers WHERE kind = 'hold'") == 1
        wrong = await conn.fetchval(
            "SELECT count(*) FROM accounts a WHERE balance <>"
            " coalesce((SELECT sum(amount) FROM transfers WHERE credit_account = a.id), 0)"
            " - coalesce((SELECT sum(amount) FROM transfers WHERE debit_account = a.id), 0)"
        )
        assert wrong == 0
