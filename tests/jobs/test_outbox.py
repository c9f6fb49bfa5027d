"""A reaction happens once; one that fails is tried again, given up at last, and harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest

from jobs import outbox
from jobs.outbox import MAX_ATTEMPTS, Drained, drain
from jobs.reactions import Reaction
from server.attendance.model import PersonJoined
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Conn, Pool
from server.base.ids import new_id
from server.base.store import StoredFact, outbox_figures, record
from server.settings import Settings


class Reacts:
    """Reactions that leave a trace in the database, and one that fails as often as it is told."""

    def __init__(self) -> None:
        self.fail = 0

    @property
    def table(self) -> Mapping[str, tuple[Reaction, ...]]:
        async def note(conn: Conn, ctx: Context, fact: StoredFact) -> None:
            await conn.execute("INSERT INTO noted VALUES ($1, 'note')", fact.id)

        async def brittle(conn: Conn, ctx: Context, fact: StoredFact) -> None:
            await conn.execute("INSERT INTO noted VALUES ($1, 'brittle')", fact.id)
            if self.fail:
                self.fail -= 1
                raise RuntimeError("not today")

        return {PersonJoined.KIND: (brittle, note)}


@pytest.fixture
async def reacts(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Reacts:
    made = Reacts()
    monkeypatch.setattr(outbox, "REACTIONS", made.table)
    await pool.execute("CREATE TABLE noted (fact bigint, what text)")
    return made


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, settings)


async def happen(ctx: Context, count: int = 1) -> None:
    async with ctx.pool.acquire() as conn, conn.transaction():
        for _ in range(count):
            await record(conn, PersonJoined(new_id(), ctx.clock.now(), new_id(), "p"))


async def noted(ctx: Context) -> dict[str, int]:
    rows = await ctx.pool.fetch(
        "SELECT what, count(*) AS n, count(DISTINCT fact) AS facts FROM noted GROUP BY what"
    )
    assert all(row["n"] == row["facts"] for row in rows)
    return {row["what"]: row["n"] for row in rows}


async def test_many_drains_at_once_react_once(ctx: Context, reacts: Reacts) -> None:
    await happen(ctx, 150)
    drained = await asyncio.gather(*(drain(ctx) for _ in range(4)))
    drained.append(await drain(ctx))
    assert sum(d.handled for d in drained) == 150
    assert await noted(ctx) == {"note": 150, "brittle": 150}
    assert await drain(ctx) == Drained()


async def test_only_what_failed_is_tried_again(ctx: Context, reacts: Reacts, clock: SteppedClock) -> None:
    await happen(ctx)
    reacts.fail = 2
    assert await drain(ctx) == Drained(postponed=1)
    assert await noted(ctx) == {"note": 1}
    assert await drain(ctx) == Drained()
    clock.step(timedelta(seconds=2))
    assert await drain(ctx) == Drained(postponed=1)
    clock.step(timedelta(seconds=4))
    assert await drain(ctx) == Drained(handled=1)
    assert await noted(ctx) == {"note": 1, "brittle": 1}


async def test_a_poisoned_fact_becomes_a_dead_letter_and_blocks_nobody(
    ctx: Context, reacts: Reacts, clock: SteppedClock
) -> None:
    await happen(ctx)
    for attempt in range(MAX_ATTEMPTS):
        reacts.fail = 1
        drained = await drain(ctx)
        assert drained == (Drained(handled=1) if attempt == MAX_ATTEMPTS - 1 else Drained(postponed=1))
        clock.step(timedelta(hours=1))
    await happen(ctx)
    assert await drain(ctx) == Drained(handled=1)
    assert await noted(ctx) == {"note": 2, "brittle": 1}
    async with ctx.pool.acquire() as conn:
        assert await outbox_figures(conn) == (0, 1)
        error = await conn.fetchval("SELECT error FROM fact_reactions WHERE error IS NOT NULL")
    assert error == "RuntimeError: not today"
