"""Verdicts amended: every step stays, the money follows by new transfers, payslips never change, both are told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from jobs.periodic import run_job
from server.attendance import actions as attendance
from server.attendance import amending, outages, store
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Conflict, Forbidden, InsufficientFunds, Invalid, NotFound
from server.base.ids import new_id
from server.integrations.channels import Channels
from server.ledger import actions as ledger
from server.notifications.actions import inbox
from server.payroll import actions as payroll
from server.people import actions as people
from server.people.model import Principal, Role, User
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from server.settings import Settings
from server.trace.actions import story as trace
from tests.support.story import PASSWORD, Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
DONE, MENTEE_GONE, MENTOR_GONE, NOBODY, OURS = (
    Outcome.COMPLETED,
    Outcome.MENTEE_NO_SHOW,
    Outcome.MENTOR_NO_SHOW,
    Outcome.BOTH_ABSENT,
    Outcome.CANCELLED,
)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


@pytest.fixture
async def admin(story: Story) -> User:
    return await people.create_admin(story.ctx, "admin@example.org", PASSWORD)


def principal(user: User) -> Principal:
    return Principal(user.id, user.role)


async def settled(story: Story, *present: str) -> Any:
    """A session of 30 tokens with its verdict; who of ``mentor`` and ``mentee`` was there all the time."""
    session = (await story.session(START)).session_id
    for role in present:
        await story.present(session, story.mentor if role == "mentor" else story.mentee, at(0), at(60))
    story.clock.set(at(80))
    assert await attendance.settle(story.ctx, session) is not None
    return session


async def money(story: Story) -> tuple[int, int, int]:
    """(the mentee's tokens, the mentor's unpaid earnings, everything there is)"""
    total: int = await story.ctx.pool.fetchval("SELECT sum(balance) FROM accounts")
    mentee = await ledger.wallet(story.ctx, story.mentee.id)
    assert mentee.held_tokens == 0
    return mentee.balance_tokens, (await ledger.wallet(story.ctx, story.mentor.id)).earnings_tokens, total


async def test_every_step_stays_and_the_money_follows_there_and_back(story: Story, admin: User) -> None:
    session = await settled(story, "mentor")
    assert await money(story) == (970, 24, 0)
    rows = await story.ctx.pool.fetch("SELECT id, amount FROM transfers ORDER BY id")
    for outcome, wallet, earned in (
        (NOBODY, 1000, 0), (MENTOR_GONE, 1000, 0), (DONE, 970, 24), (OURS, 1000, 0), (MENTEE_GONE, 970, 24),
    ):  # fmt: skip
        story.clock.step(timedelta(minutes=1))
        await amending.amend(story.ctx, admin.id, session, outcome, f"Now it is {outcome}")
        assert await money(story) == (wallet, earned, 0), outcome
        seen = await sessions.get(story.ctx, principal(story.mentee), session)
        assert (seen.outcome, seen.status) == (outcome, "settled")
    steps = await amending.of_session(story.ctx, principal(story.mentor), session)
    assert [s.seq for s in steps] == [1, 2, 3, 4, 5, 6]
    assert [s.outcome for s in steps] == [MENTEE_GONE, NOBODY, MENTOR_GONE, DONE, OURS, MENTEE_GONE]
    assert steps[0].admin_id is None and {s.admin_id for s in steps[1:]} == {admin.id}
    assert (
        steps[0].inputs["mentor"]["finding"] == "present" and steps[1].inputs["mentee"]["finding"] == "absent"
    )
    kept = await story.ctx.pool.fetch(
        "SELECT id, amount FROM transfers WHERE id = ANY($1)", [r["id"] for r in rows]
    )
    assert sorted(map(tuple, kept)) == sorted(map(tuple, rows))  # nothing that was moved was touched
    with pytest.raises(asyncpg.RestrictViolationError):
        await story.ctx.pool.execute("UPDATE verdicts SET reason = 'nicer'")
    with pytest.raises(asyncpg.RestrictViolationError):
        await story.ctx.pool.execute("DELETE FROM verdicts")
    told = [line.what for line in await trace(story.ctx, session)]
    assert told.count("amended") == 5 and told.count("reversed") == 4


async def test_the_same_amendment_many_times_at_once_is_one_step(story: Story, admin: User) -> None:
    session = await settled(story, "mentor")
    again = (amending.amend(story.ctx, admin.id, session, DONE, "Met by telephone") for _ in range(5))
    for steps in await asyncio.gather(*again):
        assert [s.outcome for s in steps] == [MENTEE_GONE, DONE]
    assert await money(story) == (970, 24, 0)
    facts = await story.ctx.pool.fetchval("SELECT count(*) FROM facts WHERE kind = 'verdict_amended'")
    assert facts == 1
    with pytest.raises(Conflict, match="same_verdict"):
        await amending.amend(story.ctx, admin.id, session, DONE, "For another reason")


async def test_what_cannot_be_amended(story: Story, admin: User) -> None:
    booking = await story.session(START)
    with pytest.raises(Conflict, match="not_settled"):
        await amending.amend(story.ctx, admin.id, booking.session_id, DONE, "Early")
    with pytest.raises(NotFound):
        await amending.amend(story.ctx, admin.id, new_id(), DONE, "Nothing")
    with pytest.raises(Invalid):
        await amending.amend(story.ctx, admin.id, booking.session_id, DONE, " ")


async def test_a_mentee_who_has_spent_the_tokens_cannot_be_charged(story: Story, admin: User) -> None:
    session = await settled(story)
    async with story.ctx.pool.acquire() as conn, conn.transaction():
        await ledger.hold_in(
            conn, session_id=new_id(), mentee_id=story.mentee.id, amount=980, now=story.clock.now()
        )
    with pytest.raises(InsufficientFunds):
        await amending.amend(story.ctx, admin.id, session, DONE, "They met")
    async with story.ctx.pool.acquire() as conn:
        assert len(await store.verdicts(conn, session)) == 1


async def test_after_payroll_the_next_payslip_makes_up_the_difference(story: Story, admin: User) -> None:
    session = await settled(story, "mentor", "mentee")
    story.clock.set(datetime(2026, 3, 26, 0, 5, tzinfo=UTC))
    assert await payroll.close_period(story.ctx) is not None
    [march] = await payroll.payslips(story.ctx, story.mentor.id)
    story.clock.step(timedelta(days=1))
    await amending.amend(story.ctx, admin.id, session, MENTOR_GONE, "It was her assistant")
    assert await money(story) == (1000, -24, 0)

    # April: nothing earned yet, so nothing to pay and nothing to take; May: one session, and 24 less.
    story.clock.set(datetime(2026, 4, 26, 0, 5, tzinfo=UTC))
    await payroll.close_period(story.ctx)
    assert await payroll.payslips(story.ctx, story.mentor.id) == [march]
    for day in (4, 5):
        booked = await story.session(datetime(2026, 5, day, 10, tzinfo=UTC))
        for who in (story.mentor, story.mentee):
            await story.present(booked.session_id, who, booked.start, booked.end)
        story.clock.set(booked.end + timedelta(minutes=20))
        assert await attendance.settle(story.ctx, booked.session_id) is DONE
    story.clock.set(datetime(2026, 5, 26, 0, 5, tzinfo=UTC))
    for _ in range(2):
        await payroll.close_period(story.ctx)
    may, again = await payroll.payslips(story.ctx, story.mentor.id)
    assert again == march
    assert (may.total_tokens, sorted(line.amount for line in may.lines)) == (24, [-24, 24, 24])
    assert await money(story) == (940, 0, 0)


async def test_both_are_told_once_and_a_review_is_answered_by_it(story: Story, admin: User) -> None:
    session = await settled(story, "mentor")
    who = principal(story.mentee)
    with pytest.raises(Forbidden):
        await amending.ask(story.ctx, principal(admin), session, "Me too")
    first = await amending.ask(story.ctx, who, session, "I was there, by telephone")
    assert await amending.ask(story.ctx, who, session, "I was there, by telephone ") == first
    with pytest.raises(Conflict, match="review_asked"):
        await amending.ask(story.ctx, who, session, "Once more")
    other = await amending.ask(story.ctx, principal(story.mentor), session, "He was not")
    assert [r.id for r in (await amending.waiting(story.ctx)).items] == [first.id, other.id]

    await amending.uphold(story.ctx, admin.id, other.id, "Nothing to change for you")
    assert (
        await amending.uphold(story.ctx, admin.id, other.id, "Again")
    ).answer_note == "Nothing to change for you"
    story.clock.step(timedelta(days=30))  # an administrator has all the time there is
    await amending.amend(story.ctx, admin.id, session, DONE, "The telephone company says so")
    assert not (await amending.waiting(story.ctx)).items
    assert [r.answer for r in await amending.reviews_of(story.ctx, session)] == ["amended", "upheld"]
    with pytest.raises(Conflict, match="review_answered"):
        await amending.uphold(story.ctx, admin.id, first.id, "No")
    for _ in range(2):
        await run_job(story.ctx, Channels(inbox=True), "no_show", story.clock.now())
    told = [m for m in await inbox(story.ctx) if m.session_id == session and m.kind == "follow_up"]
    changed = [m for m in told if "looked again" in m.subject]
    assert sorted(m.role for m in changed) == ["mentee", "mentor"]
    assert all("Now: you met" in m.text and "telephone company" in m.text for m in changed)
    [stands] = [m for m in told if "stands" in m.subject]
    assert (stands.role, "Nothing to change for you" in stands.text) == ("mentor", True)


async def test_a_review_is_asked_for_within_seven_days(story: Story) -> None:
    session = await settled(story)
    story.clock.step(timedelta(days=7, seconds=1))
    with pytest.raises(Conflict, match="review_too_late"):
        await amending.ask(story.ctx, principal(story.mentee), session, "I was there")


async def test_an_outage_is_declared_once_and_counts_from_then_on(story: Story, admin: User) -> None:
    session = (await story.session(START)).session_id
    story.clock.set(at(50))
    for _ in range(2):
        await outages.declare(story.ctx, admin.id, at(-5), at(45), "Our line was cut")
    [known] = (await outages.listed(story.ctx)).items
    assert (known.cause, known.note) == ("declared", "Our line was cut")
    story.clock.set(at(80))
    assert await attendance.settle(story.ctx, session) is OURS
    with pytest.raises(Invalid) as refused:
        await outages.declare(story.ctx, admin.id, at(80), at(80), "")
    assert [fault.field for fault in refused.value.errors] == ["to", "note"]
    assert admin.role == Role.ADMIN
