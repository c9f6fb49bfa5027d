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
from server.base.store import StoredFact, dead_letters, outbox_figures, record
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


async def test_one_poisoned_fact_in_a_batch_harms_only_itself(
    ctx: Context, pool: Pool, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything of its chunk is done again, one by one, and none of it twice."""
    await pool.execute("CREATE TABLE noted (fact bigint, what text)")

    async def note(conn: Conn, ctx: Context, fact: StoredFact) -> None:
        await conn.execute("INSERT INTO noted VALUES ($1, 'note')", fact.id)
        if fact.id % 50 == 7:
            raise RuntimeError("poison")
        if fact.id % 50 == 8:
            await conn.execute("SELECT 1 / 0")  # a transaction that PostgreSQL has given up

    monkeypatch.setattr(outbox, "REACTIONS", {PersonJoined.KIND: (note,)})
    await happen(ctx, 200)
    assert await drain(ctx) == Drained(handled=192, postponed=8)
    assert await noted(ctx) == {"note": 192}
    assert await pool.fetchval("SELECT count(*) FROM fact_reactions") == 192


async def test_what_no_release_knows_or_can_read_becomes_a_dead_letter(
    ctx: Context, pool: Pool, clock: SteppedClock
) -> None:
    """A fact of an unknown kind and one with broken data, beside a good one of the real table."""
    await happen(ctx)
    await pool.execute(
        "INSERT INTO facts (kind, session_id, at, data, next_attempt_at) VALUES"
        " ('from_the_future', gen_random_uuid(), $1, '{}', $1), ('person_joined', gen_random_uuid(), $1, '{}', $1),"
        " ('person_joined', NULL, $1, '{\"user_id\": 5}', $1), ('booking_approved', gen_random_uuid(), $1, '[]', $1)",
        clock.now(),
    )
    assert await drain(ctx) == Drained(handled=1, postponed=4)
    for _ in range(MAX_ATTEMPTS - 1):
        clock.step(timedelta(hours=1))
        drained = await drain(ctx)
    assert drained == Drained(handled=4)
    async with ctx.pool.acquire() as conn:
        letters = {letter.id: letter for letter in await dead_letters(conn, None, 10)}
    assert letters.keys() == {2, 3, 4, 5}
    assert letters[2].errors == {"unknown_kind": "LookupError: this release knows no fact 'from_the_future'"}
    assert letters[5].errors.keys() == {"invite_both"}  # nobody's calendar is connected
    assert await pool.fetchval("SELECT array_agg(fact_id) FROM session_events") == [1]


async def test_a_backlog_is_drained_whatever_is_committed_behind_the_pass(
    ctx: Context, reacts: Reacts, pool: Pool
) -> None:
    """A fact with a low id that is committed when higher ones have been handled already."""
    async with pool.acquire() as early:
        late = early.transaction()
        await late.start()
        await record(early, PersonJoined(new_id(), ctx.clock.now(), new_id(), "p"))
        await happen(ctx, 70)
        assert await drain(ctx) == Drained(handled=70)
        await late.commit()
    assert await drain(ctx) == Drained(handled=1)
    assert await drain(ctx, 0) == Drained()
