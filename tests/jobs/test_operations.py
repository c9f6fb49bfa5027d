"""The board tells how jobs stand; stepping in happens once, is written down, and loses nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from jobs.board import catalogue
from jobs.outbox import MAX_ATTEMPTS, drain
from jobs.periodic import JOBS
from jobs.runner import Job, run_due
from jobs.schedule import EveryMinute, Missed
from server.attendance.model import PersonJoined
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import NotFound
from server.base.ids import new_id
from server.base.store import record
from server.operations import actions as operations
from server.operations.model import Card, Run, Standing, standing
from server.people import actions as people
from server.settings import Settings
from tests.support.story import PASSWORD, Story

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")


def cards(now: datetime) -> list[Card]:
    return catalogue(now, UTC_ZONE)


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, settings)


@pytest.fixture
async def admin(ctx: Context) -> UUID:
    return (await people.create_admin(ctx, "admin@example.org", PASSWORD)).id


def finished(tick: datetime, result: str = "ok") -> Run:
    return Run("x", tick, tick, tick, tick, result, 0, None, 0.0, 0, 1, by_hand=False)


def test_a_job_is_late_when_its_tick_is_due_and_nobody_began_it() -> None:
    daily = Card("x", "", "", "UTC", "latest", 60, NOW, NOW + timedelta(days=1))
    yesterday = finished(NOW - timedelta(days=1))
    assert standing(daily, yesterday, False, NOW + timedelta(seconds=80)) is Standing.OK
    assert standing(daily, yesterday, False, NOW + timedelta(seconds=100)) is Standing.LATE
    assert standing(daily, yesterday, True, NOW + timedelta(seconds=100)) is Standing.PAUSED
    assert standing(daily, finished(NOW), False, NOW + timedelta(hours=20)) is Standing.OK
    assert standing(daily, finished(NOW, "failed"), False, NOW) is Standing.FAILED
    assert standing(daily, None, False, NOW) is Standing.WAITING
    minutely = Card("x", "", "", "UTC", "latest", 60, NOW, NOW + timedelta(minutes=1))
    assert standing(minutely, finished(NOW - timedelta(minutes=2)), False, NOW) is Standing.OK
    assert standing(minutely, finished(NOW - timedelta(minutes=4)), False, NOW) is Standing.LATE
    running = replace(finished(NOW), finished_at=None, result=None)
    assert standing(daily, running, False, NOW + timedelta(seconds=30)) is Standing.RUNNING
    assert standing(daily, running, False, NOW + timedelta(minutes=2)) is Standing.SILENT


async def test_pausing_and_resuming(ctx: Context, admin: UUID, clock: SteppedClock) -> None:
    """A paused job begins nothing; afterwards its missed ticks are treated as it declares."""
    ran: list[datetime] = []

    async def work(inside: Context) -> int:
        ran.append(inside.clock.now())
        return 1

    job = Job("no_show", EveryMinute(), "", 5, work, missed=Missed.ALL)
    assert (await run_due(ctx, job)).through
    for _ in range(2):
        await operations.pause(ctx, cards, admin, "no_show", "the provider is down")
    clock.step(timedelta(minutes=3))
    assert not (await run_due(ctx, job)).through
    view = next(it for it in (await operations.board(ctx, cards)).jobs if it.card.name == "no_show")
    assert (view.standing, view.pause and view.pause.by) == (Standing.PAUSED, "Administrator")
    for _ in range(2):
        await operations.resume(ctx, cards, admin, "no_show")
    assert (await run_due(ctx, job)).rows == 3
    assert ran == [NOW + timedelta(minutes=n) for n in range(4)]
    deeds = (await operations.audit(ctx)).items
    assert [(it.verb, it.subject, it.reason) for it in deeds] == [
        ("resume", "job:no_show", ""), ("pause", "job:no_show", "the provider is down"),
    ]  # fmt: skip
    with pytest.raises(asyncpg.RestrictViolationError):
        await ctx.pool.execute("DELETE FROM job_audit")
    with pytest.raises(NotFound):
        await operations.pause(ctx, cards, admin, "no_such_job", "")


async def test_run_now_runs_once_also_while_paused_and_is_no_tick(
    ctx: Context, admin: UUID, clock: SteppedClock
) -> None:
    ran: list[datetime] = []

    async def work(inside: Context) -> int:
        ran.append(inside.clock.now())
        await asyncio.sleep(0.05)
        return 1

    job = Job("payroll", JOBS["payroll"].schedule, "", 5, work)
    await run_due(ctx, job)
    await operations.pause(ctx, cards, admin, "payroll", "")
    clock.step(timedelta(seconds=30))
    for _ in range(2):
        await operations.run_now(ctx, cards, admin, "payroll")
    await asyncio.gather(*(run_due(ctx, job) for _ in range(4)))
    await run_due(ctx, job)
    assert len(ran) == 2
    page = await operations.runs(ctx, cards, "payroll")
    assert [(it.by_hand, it.result) for it in page.items] == [(True, "ok"), (False, "ok")]
    assert (await operations.board(ctx, cards)).jobs[0].requested_at is None
    await operations.resume(ctx, cards, admin, "payroll")
    await run_due(ctx, job)
    assert len(ran) == 2  # the run by hand was no tick, and the tick had been run


async def test_a_wish_outlives_the_runner_that_died_with_it(
    ctx: Context, admin: UUID, clock: SteppedClock
) -> None:
    started = asyncio.Event()
    ran = 0

    async def work(inside: Context) -> int:
        nonlocal ran
        started.set()
        if not ran:
            ran += 1
            await asyncio.Event().wait()
        ran += 1
        return 7

    job = Job("payroll", JOBS["payroll"].schedule, "", 60, work)
    await ctx.pool.execute(
        "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result)"
        " VALUES ($1, 'payroll', $2, $2, $2, $2, 'ok')",
        new_id(), job.schedule.latest(NOW, UTC_ZONE),
    )  # fmt: skip
    await operations.run_now(ctx, cards, admin, "payroll")
    dying = asyncio.create_task(run_due(ctx, job))
    await started.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert (await run_due(ctx, job)).rows == 7
    assert ran == 2
    assert not await ctx.pool.fetchval("SELECT count(*) FROM job_requests")


async def dead_fact(ctx: Context, clock: SteppedClock, count: int = 1) -> None:
    async with ctx.pool.acquire() as conn, conn.transaction():
        for _ in range(count):
            await record(conn, PersonJoined(new_id(), clock.now(), new_id(), "p"))
    await ctx.pool.execute("UPDATE facts SET data = '{}' WHERE handled_at IS NULL")
    for _ in range(MAX_ATTEMPTS):
        await drain(ctx)
        clock.step(timedelta(hours=1))


async def test_dead_facts_are_replayed_by_kind_or_discarded_with_what_they_were(
    ctx: Context, admin: UUID, clock: SteppedClock, pool: Pool
) -> None:
    await dead_fact(ctx, clock, 3)
    assert [(it.what, it.kind, it.count) for it in (await operations.board(ctx, cards)).dead] == [
        ("facts", "person_joined", 3)
    ]
    await operations.discard_fact(ctx, admin, 1, "a test of ours")
    with pytest.raises(NotFound):
        await operations.discard_fact(ctx, admin, 1, "again")
    [deed] = (await operations.audit(ctx)).items
    assert (deed.verb, deed.subject, deed.reason, deed.before["kind"]) == (
        "discard", "fact:1", "a test of ours", "person_joined",
    )  # fmt: skip
    assert "KeyError" in deed.before["errors"]["log_event"]
    await pool.execute("UPDATE facts SET data = jsonb_build_object('user_id', gen_random_uuid())")
    assert await operations.replay_kind(ctx, admin, "facts", "person_joined", None) == 2
    assert await operations.replay_kind(ctx, admin, "facts", "person_joined", None) == 0
    assert (await drain(ctx)).handled == 2
    assert await pool.fetchval("SELECT array_agg(fact_id ORDER BY fact_id) FROM session_events") == [2, 3]


async def test_dead_messages_are_replayed_or_discarded_and_sent_ones_are_left_alone(
    story: Story, admin: UUID, pool: Pool
) -> None:
    ctx = story.ctx
    for hours in (24, 48):
        await story.session(NOW + timedelta(hours=hours))
    await drain(ctx)
    ids = [row["id"] for row in await pool.fetch("SELECT id FROM notifications ORDER BY id")]
    assert len(ids) >= 3
    await pool.execute("UPDATE notifications SET status = 'dead', error = 'no such mailbox', attempts = 5")
    await pool.execute("UPDATE notifications SET status = 'sent', sent_at = now() WHERE id = $1", ids[0])
    page = await operations.dead_messages(ctx, limit=1)
    assert (page.items[0].id, page.items[0].error) == (ids[-1], "no such mailbox")
    await operations.discard_message(ctx, admin, ids[1], "left the company")
    for done in ids[:2]:
        with pytest.raises(NotFound):
            await operations.replay_message(ctx, admin, done)
    await operations.replay_message(ctx, admin, ids[2])
    row = await pool.fetchrow("SELECT status, attempts FROM notifications WHERE id = $1", ids[2])
    assert row is not None and tuple(row) == ("pending", 0)
    kind, channel = await pool.fetchval("SELECT (kind, channel) FROM notifications WHERE id = $1", ids[2])
    await pool.execute("UPDATE notifications SET status = 'dead' WHERE id = $1", ids[2])
    assert await operations.replay_kind(ctx, admin, "messages", kind, channel) >= 1
    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'sent'") == 1
    verbs = [it.verb for it in (await operations.audit(ctx)).items]
    assert verbs == ["replay", "replay", "discard"]
