"""The demo data are a believable, consistent world, loaded once; a demo session can be had at any time, repeatedly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.base.db import Pool
from server.base.errors import Forbidden, NotFound
from server.conduct import actions as conduct
from server.demo import demo_session, load_demo
from server.ledger import actions as ledger
from server.notifications.actions import inbox
from server.people import actions as people
from server.people.model import Principal, User
from server.sessions import actions as sessions
from server.sessions.model import Outcome, SessionStatus
from server.settings import Settings
from server.testimonials import actions as testimonials

# The day after a 26th, the 26th itself, the middle of a month, across the ends of years and of summer times.
MOMENTS = [
    datetime(2026, 11, 22, 6, 3, 17, 5, tzinfo=UTC),
    datetime(2026, 11, 26, 0, 1, tzinfo=UTC),
    datetime(2026, 6, 17, 8, 51, 36, tzinfo=UTC),  # two mentors' first slots meet
    datetime(2027, 1, 1, 23, 59, 59, tzinfo=UTC),
    datetime(2026, 3, 29, 12, 30, tzinfo=UTC),
]


@pytest.fixture
def demo(settings: Settings) -> Settings:
    return replace(settings, demo=True)


async def login(ctx: Context, who: str) -> User:
    return await people.authenticate(ctx, f"{who}@demo.visavis.test", "visavis-demo")


def principal(user: User) -> Principal:
    return Principal(user.id, user.role)


@pytest.mark.parametrize("now", MOMENTS, ids=str)
async def test_the_demo_world(pool: Pool, demo: Settings, now: datetime) -> None:
    clock = SteppedClock(now)
    ctx = Context(pool, clock, demo)
    assert sorted(await asyncio.gather(*(load_demo(pool, clock, demo) for _ in range(2)))) == [False, True]
    assert not await load_demo(pool, clock, demo)
    admin, mentor, mentee = [await login(ctx, who) for who in ("admin", "mentor", "mentee")]
    assert (admin.role, mentor.role, mentee.role) == ("admin", "mentor", "mentee")
    assert mentor.timezone != mentee.timezone

    assert await pool.fetchval("SELECT count(*) FROM users WHERE role = 'mentor'") == 36
    assert await pool.fetchval("SELECT count(DISTINCT timezone) FROM users") > 30
    outcomes = {row["outcome"] for row in await pool.fetch("SELECT DISTINCT outcome FROM sessions")}
    assert outcomes == {None, *Outcome}
    closed = await pool.fetchval("SELECT count(*) FROM payroll_periods")
    paid = await pool.fetchval("SELECT sum(total_tokens) FROM payslips")
    assert closed >= 1 and paid > 0
    assert await pool.fetchval("SELECT balance FROM accounts WHERE kind = 'payouts'") == paid
    assert await pool.fetchval("SELECT sum(balance) FROM accounts") == 0
    assert await pool.fetchval("SELECT count(*) FROM bookings WHERE status = 'requested'") == 3
    assert await pool.fetchval("SELECT count(*) FROM facts WHERE handled_at IS NULL") == 0
    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status <> 'sent'") == 0
    assert await pool.fetchval("SELECT max(at) FROM facts") <= now
    assert await pool.fetchval("SELECT count(*) FROM chat_messages") > 20
    assert len(await inbox(ctx)) > 40
    assert len((await testimonials.published(ctx, mentor.id)).items) == 2
    assert [it.author for it in (await testimonials.queue(ctx)).items] == ["Nia"]
    [case] = (await conduct.cases(ctx, appeals=True)).items
    assert case.name == "Kenji Ito" and case.restriction.until is not None and case.restriction.until > now

    upcoming = (await sessions.upcoming(ctx, mentee.id)).items
    first = upcoming[0]
    assert len(upcoming) >= 3
    assert timedelta(0) < first.start - now <= timedelta(minutes=5)
    assert first.end - first.start == timedelta(hours=1)
    for user in (mentor, mentee):
        assert (await sessions.join(ctx, principal(user), first.id))[0].id == first.id


async def test_a_session_at_any_time_and_again(pool: Pool, demo: Settings) -> None:
    now = MOMENTS[0]
    clock = SteppedClock(now)
    ctx = Context(pool, clock, demo)
    await load_demo(pool, clock, demo)
    mentor, mentee = await login(ctx, "mentor"), await login(ctx, "mentee")
    before = await ledger.wallet(ctx, mentee.id)
    ids = []
    for starts_in, minutes in ((0, 30), (0, 30), (60, 1), (-600, 60), (3 * 86400, 480), (30, 5)):
        session_id = await demo_session(ctx, starts_in=starts_in, minutes=minutes)
        session = await sessions.get(ctx, principal(mentee), session_id)
        assert session.status is SessionStatus.SCHEDULED
        assert session.start == now.replace(microsecond=0) + timedelta(seconds=starts_in)
        assert session.end - session.start == timedelta(minutes=minutes)
        ids.append(session_id)
        clock.step(timedelta(seconds=1))
        now = clock.now()
    assert len(set(ids)) == 6
    after = await ledger.wallet(ctx, mentee.id)
    assert after.balance_tokens >= before.balance_tokens
    assert await pool.fetchval("SELECT sum(balance) FROM accounts") == 0
    assert (await sessions.join(ctx, principal(mentor), ids[-1]))[0].id == ids[-1]


async def test_what_was_seen_of_a_session_in_the_way_still_counts(pool: Pool, demo: Settings) -> None:
    clock = SteppedClock(MOMENTS[0])
    ctx = Context(pool, clock, demo)
    await load_demo(pool, clock, demo)
    mentor, mentee = await login(ctx, "mentor"), await login(ctx, "mentee")
    first = await demo_session(ctx, starts_in=0, minutes=30)
    for user in (mentor, mentee):
        await attendance.joined(ctx, first, user.id, str(user.id), clock.now())
        await attendance.left(ctx, first, user.id, str(user.id), clock.now() + timedelta(minutes=5), "closed")
    clock.step(timedelta(minutes=6))
    await demo_session(ctx, starts_in=0, minutes=30)
    assert (await sessions.get(ctx, principal(mentor), first)).outcome is Outcome.COMPLETED


async def test_only_in_demo_mode_and_with_demo_people(
    pool: Pool, settings: Settings, clock: SteppedClock
) -> None:
    with pytest.raises(Forbidden):
        await demo_session(Context(pool, clock, settings), starts_in=0, minutes=5)
    with pytest.raises(NotFound):
        await demo_session(Context(pool, clock, replace(settings, demo=True)), starts_in=0, minutes=5)
