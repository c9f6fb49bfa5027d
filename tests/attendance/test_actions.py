"""Presence as it is recorded, and settlement: the verdict, the booking, the money and the fact agree, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from server.attendance import actions as attendance
from server.attendance.model import ORPHAN_AFTER
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Forbidden, NotFound
from server.base.ids import new_id
from server.base.store import of_session as facts_of
from server.booking import actions as bookings
from server.booking.model import Status
from server.ledger import actions as ledger
from server.people.model import Principal
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
END = START + timedelta(hours=1)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def facts(story: Story, session_id: object) -> list[str]:
    async with story.ctx.pool.acquire() as conn:
        return [fact.kind for fact in await facts_of(conn, session_id)]  # type: ignore[arg-type]


def principal(user: object) -> Principal:
    return Principal(user.id, user.role)  # type: ignore[attr-defined]


async def test_what_the_sfu_repeats_counts_once(story: Story) -> None:
    session = (await story.session(START)).session_id
    for _ in range(2):
        await attendance.joined(story.ctx, session, story.mentor.id, "p1", at(0))
    await attendance.joined(story.ctx, session, story.mentor.id, "p1", at(1))  # still here
    for _ in range(2):
        await attendance.left(story.ctx, session, story.mentor.id, "p1", at(10), "closed")
    await attendance.left(story.ctx, session, story.mentor.id, "p1", at(12), "timed_out")
    await attendance.joined(story.ctx, session, story.mentor.id, "p1", at(20))
    await attendance.left(story.ctx, session, story.mentor.id, "p1", at(10), "closed")  # the old news again
    await attendance.seen(story.ctx, [(session, "p1", at(25), 290.0, 31.5)])
    await attendance.seen(story.ctx, [(session, "p1", at(24), 230.0, 30.0)])  # overtaken on the way
    mentor, mentee = await attendance.of_session(story.ctx, principal(story.mentor), session)
    assert [(i.start, i.end) for i in mentor.intervals] == [(at(0), at(10)), (at(20), at(25))]
    assert (mentor.first_joined_at, mentor.last_left_at) == (at(0), None)
    assert (mentor.present_seconds, mentor.media_seconds, mentor.talk_seconds) == (900, 290, 31.5)
    assert (mentor.role, mentee.role, mentee.present_seconds) == ("mentor", "mentee", 0)
    assert (await facts(story, session))[-3:] == ["person_joined", "person_left", "person_joined"]


async def test_a_lost_server_ends_presence_at_its_last_heartbeat_and_a_living_one_takes_it_back(
    story: Story,
) -> None:
    session = (await story.session(START)).session_id
    await attendance.joined(story.ctx, session, story.mentor.id, "p1", at(0))
    await attendance.seen(story.ctx, [(session, "p1", at(5), 1, 1)])
    story.clock.set(at(5) + ORPHAN_AFTER)
    assert await attendance.close_orphans(story.ctx) == 0
    story.clock.step(timedelta(seconds=1))
    assert await attendance.close_orphans(story.ctx) == 1
    assert await attendance.close_orphans(story.ctx) == 0
    [mentor, _] = await attendance.of_session(story.ctx, principal(story.mentee), session)
    assert mentor.last_left_at == at(5)

    await attendance.seen(story.ctx, [(session, "p1", at(7), 400, 2)])  # it was only slow
    [mentor, _] = await attendance.of_session(story.ctx, principal(story.mentee), session)
    assert (mentor.last_left_at, mentor.present_seconds) == (None, 420)
    await attendance.left(story.ctx, session, story.mentor.id, "p1", at(8), "closed")
    await attendance.seen(story.ctx, [(session, "p1", at(9), 400, 2)])  # a goodbye is final
    [mentor, _] = await attendance.of_session(story.ctx, principal(story.mentee), session)
    assert mentor.last_left_at == at(8)


async def test_only_the_two_people_and_administrators_see_attendance(
    story: Story, clock: SteppedClock
) -> None:
    session = (await story.session(START)).session_id
    other = await make_story(story.ctx.pool, clock, story.ctx.settings, name="other")
    with pytest.raises(Forbidden):
        await attendance.of_session(story.ctx, principal(other.mentor), session)
    with pytest.raises(NotFound):
        await attendance.of_session(story.ctx, principal(story.mentor), new_id())


@pytest.mark.parametrize(
    ("mentor", "mentee", "outcome", "earning", "fee", "back"),
    [
        ((0, 60), (1, 60), Outcome.COMPLETED, 24, 6, 0),
        ((0, 60), None, Outcome.MENTEE_NO_SHOW, 24, 6, 0),
        (None, (0, 15), Outcome.MENTOR_NO_SHOW, 0, 0, 30),
        (None, None, Outcome.BOTH_ABSENT, 0, 0, 30),
    ],
)
async def test_the_money_follows_the_verdict_once(
    story: Story,
    mentor: tuple[float, float] | None,
    mentee: tuple[float, float] | None,
    outcome: Outcome,
    earning: int,
    fee: int,
    back: int,
) -> None:
    booking = await story.session(START)
    for who, stay in ((story.mentor, mentor), (story.mentee, mentee)):
        if stay:
            await story.present(booking.session_id, who, at(stay[0]), at(stay[1]))
    story.clock.set(END - timedelta(seconds=1))
    assert await attendance.settle(story.ctx, booking.session_id) is None
    story.clock.set(END)
    results = await asyncio.gather(*(attendance.settle(story.ctx, booking.session_id) for _ in range(5)))
    assert results == [outcome] * 5
    assert await attendance.settle_due(story.ctx) == 0

    mine, theirs = (
        await ledger.wallet(story.ctx, story.mentor.id),
        await ledger.wallet(story.ctx, story.mentee.id),
    )
    assert mine.earnings_tokens == earning
    assert (theirs.balance_tokens, theirs.held_tokens) == (970 + back, 0)
    assert earning + fee + back == 30
    session = await sessions.get(story.ctx, principal(story.mentee), booking.session_id)
    assert (session.outcome, session.settled_at) == (outcome, END)
    assert (await bookings.get(story.ctx, principal(story.mentee), booking.id)).status is Status.HELD
    assert (await facts(story, booking.session_id)).count("session_settled") == 1


async def test_a_verdict_waits_while_somebody_is_in_the_room_and_may_be_met(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), None, peer="p1")
    story.clock.set(at(61))
    await attendance.seen(story.ctx, [(session, "p1", at(61), 3600, 10)])
    assert await attendance.settle(story.ctx, session) is None
    await story.present(session, story.mentee, at(61), at(64))
    await attendance.left(story.ctx, session, story.mentor.id, "p1", at(64), "closed")
    story.clock.set(at(64))
    assert await attendance.settle(story.ctx, session) is Outcome.COMPLETED


async def test_a_verdict_waits_no_longer_than_the_room_is_open(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), None, peer="p1")
    story.clock.set(at(75))
    await attendance.seen(story.ctx, [(session, "p1", at(75), 4500, 10)])
    assert await attendance.settle(story.ctx, session) is Outcome.MENTEE_NO_SHOW


async def test_cancelled_sessions_are_not_settled(story: Story) -> None:
    booking = await story.session(START)
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "ill")
    story.clock.set(at(200))
    assert await attendance.settle_due(story.ctx) == 0
    assert await attendance.settle(story.ctx, booking.session_id) is Outcome.CANCELLED
    with pytest.raises(NotFound):
        await attendance.settle(story.ctx, new_id())


async def test_one_broken_session_does_not_keep_the_others_from_their_verdict(story: Story) -> None:
    broken, sound = await story.session(START), await story.session(END)
    async with story.ctx.pool.acquire() as conn:  # a hand in the database
        await conn.execute("UPDATE bookings SET status = 'cancelled' WHERE id = $1", broken.id)
    story.clock.set(at(200))
    with pytest.raises(ExceptionGroup):
        await attendance.settle_due(story.ctx)
    assert (
        await sessions.get(story.ctx, principal(story.mentor), sound.session_id)
    ).outcome is Outcome.BOTH_ABSENT
    assert (await sessions.get(story.ctx, principal(story.mentor), broken.session_id)).outcome is None


async def test_an_absence_is_suspected_once_and_only_after_the_grace(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(-3), None)
    story.clock.set(at(9.9))
    assert await attendance.suspect_no_shows(story.ctx) == 0
    story.clock.set(at(10))
    assert await attendance.suspect_no_shows(story.ctx) == 1
    assert await attendance.suspect_no_shows(story.ctx) == 0
    async with story.ctx.pool.acquire() as conn:
        [fact] = [f for f in await facts_of(conn, session) if f.kind == "no_show_suspected"]
    assert fact.data["absent_id"] == str(story.mentee.id)


async def test_nobody_is_suspected_when_both_came_or_nobody_waits(story: Story) -> None:
    both, none = (await story.session(START)).session_id, (await story.session(END)).session_id
    await story.present(both, story.mentor, at(0), None)
    await story.present(both, story.mentee, at(2), at(5))
    story.clock.set(at(30))
    assert await attendance.suspect_no_shows(story.ctx) == 0
    await story.present(none, story.mentee, at(60), at(63))
    story.clock.set(at(80))
    assert await attendance.suspect_no_shows(story.ctx) == 0
