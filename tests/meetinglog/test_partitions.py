"""The log takes every month, its partitions are made and put away in time, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.outbox import drain
from jobs.periodic import run_job
from jobs.reactions import REACTIONS, log_event
from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.ids import new_id
from server.integrations.channels import Channels
from server.meetinglog import actions as meetinglog
from server.meetinglog import store
from server.meetinglog.model import (
    DROPPED_AFTER,
    KEPT_MONTHS,
    MADE_AHEAD,
    TOLD,
    Event,
    Month,
    Plan,
    plan,
)
from server.settings import Settings
from tests.support.story import make_story

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MONTHS = st.builds(Month, st.integers(2020, 2032), st.integers(1, 12))

INSTANTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


@pytest.fixture
def ctx(pool: Pool, clock: SteppedClock, settings: Settings) -> Context:
    return Context(pool, clock, settings)


async def write(ctx: Context, at: datetime, fact_id: int = 1) -> None:
    async with ctx.pool.acquire() as conn:
        await store.write(conn, [Event(fact_id, 0, new_id(), "joined", at)])


async def tables(ctx: Context) -> dict[str, int]:
    """The partitions with their rows, by name without the prefix."""
    async with ctx.pool.acquire() as conn:
        return {
            name.removeprefix("session_events_"): await conn.fetchval(f"SELECT count(*) FROM {name}")
            for name in await store.partitions(conn)
        }


@given(
    st.sets(MONTHS),
    st.sets(MONTHS),
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_a_plan_leaves_every_month_in_its_place(
    present: set[Month], stray: set[Month], now: datetime
) -> None:
    todo = plan(now, present, stray)
    this = Month.of(now)
    after = (present | set(todo.make)) - set(todo.detach)
    assert {this.plus(n) for n in range(MADE_AHEAD + 1)} <= after
    assert min(after) >= this.plus(-KEPT_MONTHS)
    assert stray <= after | set(todo.put_away) | (set(todo.detach) & present)
    assert not set(todo.make) & present
    assert plan(now, after, ()) == Plan((), (), ())


@given(MONTHS)
def test_a_month_reads_its_own_name(month: Month) -> None:
    assert Month.read(month.partition) == month
    assert Month.of(month.start) == month == Month.of(month.end - timedelta(microseconds=1))
    assert Month.read("session_events_default") is None
    assert Month.read("session_events_2026_13") is None


def test_the_log_tells_exactly_the_facts_that_are_written_to_it() -> None:
    assert {kind for kind, reactions in REACTIONS.items() if log_event in reactions} == TOLD.keys()


async def test_a_month_without_a_partition_is_taken_and_moved_later(ctx: Context) -> None:
    await write(ctx, NOW)
    await write(ctx, NOW + timedelta(days=200), 2)
    assert await tables(ctx) == {"default": 2}
    assert await meetinglog.maintain(ctx) == MADE_AHEAD + 2
    made = await tables(ctx)
    assert made == {"2026_03": 1, "2026_04": 0, "2026_05": 0, "2026_06": 0, "2026_09": 1, "default": 0}
    assert await meetinglog.maintain(ctx) == 0
    await write(ctx, NOW + timedelta(days=35), 3)
    await write(ctx, NOW + timedelta(days=35), 4)
    assert (await tables(ctx))["2026_04"] == 2


async def test_old_months_are_detached_and_dropped_much_later(
    ctx: Context, clock: SteppedClock, pool: Pool
) -> None:
    await write(ctx, NOW)
    await meetinglog.maintain(ctx)
    clock.set(Month.of(NOW).plus(KEPT_MONTHS + 1).start - timedelta(seconds=1))
    await meetinglog.maintain(ctx)
    assert (await tables(ctx))["2026_03"] == 1
    clock.step(timedelta(seconds=1))
    await meetinglog.maintain(ctx)
    assert "2026_03" not in await tables(ctx)
    assert await pool.fetchval("SELECT count(*) FROM session_events") == 0
    assert await pool.fetchval("SELECT count(*) FROM session_events_2026_03") == 1
    # A straggler of that month joins its detached table; the same fact again is nothing new.
    await write(ctx, NOW, 2)
    await meetinglog.maintain(ctx)
    await write(ctx, NOW, 2)
    await meetinglog.maintain(ctx)
    assert (await tables(ctx))["default"] == 0
    assert await pool.fetchval("SELECT count(*) FROM session_events_2026_03") == 2
    clock.step(DROPPED_AFTER - timedelta(seconds=1))
    await meetinglog.maintain(ctx)
    assert await pool.fetchval("SELECT to_regclass('session_events_2026_03') IS NOT NULL")
    clock.step(timedelta(seconds=1))
    await meetinglog.maintain(ctx)
    assert await pool.fetchval("SELECT to_regclass('session_events_2026_03') IS NULL")
    assert await pool.fetchval(
        "SELECT dropped_at FROM detached_partitions WHERE name = 'session_events_2026_03'"
    )


async def test_writers_and_two_maintainers_at_once_lose_nothing(ctx: Context, pool: Pool) -> None:
    async def writer(first: int) -> None:
        for number in range(40):
            await write(ctx, NOW + timedelta(days=5 * number), first + number)

    async with asyncio.TaskGroup() as tasks:
        for first in (0, 1000, 2000):
            tasks.create_task(writer(first))
        await asyncio.sleep(0.02)
        tasks.create_task(meetinglog.maintain(ctx))
        tasks.create_task(meetinglog.maintain(ctx))
    await meetinglog.maintain(ctx)
    assert await pool.fetchval("SELECT count(*) FROM session_events") == 120
    assert (await tables(ctx))["default"] == 0


async def test_a_session_is_told_once_however_often_its_facts_are_handled(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story = await make_story(pool, clock, settings)
    start = NOW + timedelta(days=1, hours=1)
    booking = await story.session(start)
    clock.set(start)
    await story.present(booking.session_id, story.mentor, start, None)
    clock.set(start + timedelta(minutes=11))
    await attendance.suspect_no_shows(story.ctx)
    await story.present(booking.session_id, story.mentee, clock.now(), start + timedelta(minutes=50))
    await attendance.left(
        story.ctx, booking.session_id, story.mentor.id, f"mentor-{start.timestamp():.0f}",
        start + timedelta(minutes=50), "closed",
    )  # fmt: skip
    clock.set(start + timedelta(minutes=61))
    assert (await run_job(story.ctx, Channels(inbox=True), "session_status", clock.now())).ok
    told = [(it.event.kind, it.words) for it in await meetinglog.of_session(story.ctx, booking.session_id)]
    assert told == [
        ("joined", "Asha Rao"), ("absent", "Jonas Weber"), ("waiting", "Asha Rao"), ("joined", "Jonas Weber"),
        ("left", "Jonas Weber: closed"), ("left", "Asha Rao: closed"), ("verdict", "completed"),
    ]  # fmt: skip
    assert (await run_job(story.ctx, Channels(inbox=True), "partitions", clock.now())).ok
    await pool.execute("DELETE FROM fact_reactions WHERE reaction = 'log_event'")
    await pool.execute("UPDATE facts SET handled_at = NULL, attempts = 1")
    await drain(story.ctx)
    assert len(await meetinglog.of_session(story.ctx, booking.session_id)) == len(told)
