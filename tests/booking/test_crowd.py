"""Many at once: one slot for two hundred, and everything on everybody."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from server.availability.model import Availability
from server.base.context import Context
from server.base.errors import Conflict, Refusal
from server.booking.model import Booking
from server.people.model import Role, User
from server.sessions import actions as sessions
from tests.booking.world import ALL_WEEK, PRICE, booked, books_balance, grant, hour, mentor, person

CROWD = 200


async def crowd(ctx: Context, size: int) -> list[User]:
    """Mentees with 100 tokens each."""
    return [await person(ctx, f"Mentee{n}") for n in range(size)]


async def test_of_two_hundred_for_one_slot_one_gets_it(ctx: Context) -> None:
    ada = await mentor(ctx)
    mentees = await crowd(ctx, CROWD)
    results = await asyncio.gather(
        *(booked(ctx, ada.id, mentee.id, hour(10), topic=mentee.name) for mentee in mentees),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, Booking)]
    refused = [result for result in results if isinstance(result, Conflict)]
    assert len(won) == 1
    assert len(refused) == CROWD - 1
    for refusal in refused:
        assert refusal.code == "booking_conflict"
        assert refusal.extra["conflicts"] == [
            {
                "kind": "booking",
                "id": str(won[0].id),
                "start": "2026-03-03T10:00:00Z",
                "end": "2026-03-03T11:00:00Z",
                "title": "Busy",
            }
        ]
    balances = await ctx.pool.fetch("SELECT kind, owner_id, balance FROM accounts WHERE kind <> 'issuance'")
    holding = {
        row["owner_id"]: row["balance"] for row in balances if row["kind"] == "held" and row["balance"]
    }
    assert holding == {won[0].mentee_id: PRICE}
    wallets = {row["owner_id"]: row["balance"] for row in balances if row["kind"] == "wallet"}
    assert wallets == {m.id: 100 - PRICE * (m.id == won[0].mentee_id) for m in mentees}
    kinds = await ctx.pool.fetch("SELECT kind, count(*) FROM facts GROUP BY kind")
    assert {row["kind"]: row["count"] for row in kinds} == {"booking_requested": 1, "tokens_held": 1}
    await books_balance(ctx)


async def test_everybody_at_once_leaves_no_overlap_and_no_lost_hold(ctx: Context) -> None:
    """Books, moves, approvals, rejections and cancellations of five mentors' few hours; every refusal has a name."""
    chance = random.Random(5)
    mentors = [await mentor(ctx, f"Mentor{n}") for n in range(5)]
    mentees = await crowd(ctx, 12)
    bookings: list[Booking] = []

    async def act() -> str:
        at = hour(chance.randrange(10, 16))
        known = chance.choice(bookings) if bookings else None
        match chance.randrange(5):
            case 0 if known:
                await sessions.approve(ctx, known.mentor_id, known.id)
            case 1 if known:
                actor = chance.choice((known.mentor_id, known.mentee_id))
                await sessions.reschedule(ctx, actor, known.id, start=at, end=at + timedelta(hours=1))
            case 2 if known:
                await sessions.cancel(ctx, chance.choice((known.mentor_id, known.mentee_id)), known.id)
            case _:
                bookings.append(await booked(ctx, chance.choice(mentors).id, chance.choice(mentees).id, at))
        return "done"

    async def acts(number: int) -> list[str]:
        said = []
        for _ in range(number):
            try:
                said.append(await act())
            except Refusal as refusal:
                said.append(refusal.code)
        return said

    said = [word for words in await asyncio.gather(*(acts(25) for _ in range(10))) for word in words]
    assert set(said) <= {
        "done",
        "booking_conflict",
        "illegal_transition",
        "insufficient_tokens",
        "invalid_input",  # moved to where it is already
    }
    assert said.count("done") >= 50
    await books_balance(ctx)
    await nobody_is_in_two_places(ctx)
    out_of_step = await ctx.pool.fetch(
        "SELECT b.id FROM bookings b LEFT JOIN sessions s ON s.id = b.session_id WHERE"
        " (b.status = 'approved') <> (s.status IS NOT DISTINCT FROM 'scheduled')"
        " OR b.status = 'approved' AND (s.starts_at <> lower(b.during) OR s.ends_at <> upper(b.during))"
    )
    assert not out_of_step


async def nobody_is_in_two_places(ctx: Context) -> None:
    rows = await ctx.pool.fetch(
        "SELECT mentor_id, mentee_id, lower(during) AS start, upper(during) AS stop FROM bookings"
        " WHERE status IN ('requested', 'approved') ORDER BY start"
    )
    free_from: dict[UUID, datetime] = {}
    for row in rows:
        for someone in (row["mentor_id"], row["mentee_id"]):
            assert free_from.get(someone, row["start"]) <= row["start"]
            free_from[someone] = row["stop"]


async def test_one_mentee_cannot_spend_the_same_tokens_twice_at_once(ctx: Context) -> None:
    bo = await person(ctx, "Bo", Role.MENTEE, tokens=0)
    async with ctx.pool.acquire() as conn, conn.transaction():
        await grant(conn, bo, 3 * PRICE + 1, ctx.clock.now())
    mentors = [await mentor(ctx, f"Mentor{n}") for n in range(6)]
    results = await asyncio.gather(
        *(booked(ctx, each.id, bo.id, hour(n)) for n, each in enumerate(mentors)), return_exceptions=True
    )
    codes = sorted("booked" if isinstance(r, Booking) else getattr(r, "code", repr(r)) for r in results)
    assert codes == ["booked"] * 3 + ["insufficient_tokens"] * 3
    await books_balance(ctx)


@pytest.mark.parametrize(
    ("rules", "winners"),
    [
        (replace(ALL_WEEK, max_per_day=3), 3),
        (replace(ALL_WEEK, buffer_before_minutes=60), 6),  # of twelve hours in a row, every other one at most
    ],
)
async def test_rules_that_no_constraint_knows_hold_in_a_crowd(
    ctx: Context, rules: Availability, winners: int
) -> None:
    """Each for another hour of the day: only the lock on the mentor makes the limit and the buffer hold."""
    ada = await mentor(ctx, rules=rules)
    mentees = await crowd(ctx, 12)
    results = await asyncio.gather(
        *(booked(ctx, ada.id, mentee.id, hour(n)) for n, mentee in enumerate(mentees)), return_exceptions=True
    )
    won = sorted(result.start for result in results if isinstance(result, Booking))
    assert all(isinstance(result, Booking | Conflict) for result in results)
    if rules.max_per_day:
        assert len(won) == winners
    else:
        assert 4 <= len(won) <= winners
        assert all(later - earlier >= timedelta(hours=2) for earlier, later in pairwise(won))
    await books_balance(ctx)
