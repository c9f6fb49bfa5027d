"""Presence as it is recorded, and settlement: the verdict, the booking, the money and the fact agree, once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from server.attendance import actions as attendance
from server.attendance import outages, store
from server.attendance.evidence import evidence_in
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
from tests.support.poison import cure, poison
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


async def nudged(story: Story, session: object) -> list[tuple[str, int, bool]]:
    """(who is missing, minutes, whether somebody waits) of every step that was taken, in order."""
    async with story.ctx.pool.acquire() as conn:
        taken = [f.data for f in await facts_of(conn, session) if f.kind == "no_show_suspected"]  # type: ignore[arg-type]
    roles = {str(story.mentor.id): "mentor", str(story.mentee.id): "mentee"}
    return [(roles[d["absent_id"]], d["minutes"], d["waiting_id"] is not None) for d in taken]


@pytest.mark.parametrize("absent", ["mentor", "mentee"])
async def test_who_is_missing_is_written_to_after_3_and_after_10_minutes_once_each(
    story: Story, absent: str
) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentee if absent == "mentor" else story.mentor, at(-3), None)
    for minutes, new in ((2.9, 0), (3, 1), (3, 0), (9.9, 0), (10, 1), (10, 0), (30, 0), (59, 0)):
        story.clock.set(at(minutes))
        assert await attendance.suspect_no_shows(story.ctx) == new, minutes
    assert await nudged(story, session) == [(absent, 3, True), (absent, 10, True)]


async def test_one_session_of_which_nothing_can_be_noted_does_not_keep_the_others_from_it(
    story: Story, pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    other = await make_story(pool, clock, settings, name="two")
    ill, sound = [(await it.session(START)).session_id for it in (story, other)]
    await story.present(ill, story.mentor, at(0), None)
    await other.present(sound, other.mentor, at(0), None)
    await poison(pool, "facts", "session_id", ill)
    clock.set(at(3))
    with pytest.raises(ExceptionGroup, match="1 of 2 sessions under way failed"):
        await attendance.suspect_no_shows(story.ctx)
    assert await nudged(story, ill) == []
    assert await nudged(other, sound) == [("mentee", 3, True)]
    await cure(pool, "facts")
    assert await attendance.suspect_no_shows(story.ctx) == 1
    assert await nudged(story, ill) == [("mentee", 3, True)]


async def test_twenty_sweeps_at_once_take_a_step_once(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), None)
    story.clock.set(at(4))
    counts = await asyncio.gather(*(attendance.suspect_no_shows(story.ctx) for _ in range(20)))
    assert sum(counts) == len(await nudged(story, session)) == 1


async def test_a_sweep_that_comes_late_takes_the_last_step_only(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), None)
    for minutes in (25, 26):
        story.clock.set(at(minutes))
        await attendance.suspect_no_shows(story.ctx)
    assert await nudged(story, session) == [("mentee", 10, True)]


async def test_nobody_there_is_one_letter_to_each(story: Story) -> None:
    session = (await story.session(START)).session_id
    for minutes in (2, 3, 4, 11, 40, 61):
        story.clock.set(at(minutes))
        await attendance.suspect_no_shows(story.ctx)
    assert sorted(await nudged(story, session)) == [("mentee", 3, False), ("mentor", 3, False)]


async def test_who_arrives_ends_the_ladder(story: Story) -> None:
    both, met = (await story.session(START)).session_id, (await story.session(END)).session_id
    await story.present(both, story.mentor, at(0), None)
    story.clock.set(at(3))
    assert await attendance.suspect_no_shows(story.ctx) == 1
    await story.present(both, story.mentee, at(5), at(6))  # came, and went again
    story.clock.set(at(15))
    assert await attendance.suspect_no_shows(story.ctx) == 0
    await story.present(met, story.mentee, at(60), at(61))  # has come; the other one has not
    story.clock.set(at(75))
    assert await attendance.suspect_no_shows(story.ctx) == 1
    assert await nudged(story, met) == [("mentor", 3, False)]


async def test_an_open_page_is_no_arrival_and_is_noted(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), at(60))
    for minutes in (1, 8):
        story.clock.set(at(minutes))
        await outages.note_visits(story.ctx, [(session, "tab", story.mentee.id)])
    assert await attendance.suspect_no_shows(story.ctx) == 1
    story.clock.set(at(80))
    assert await attendance.settle(story.ctx, session) is Outcome.MENTEE_NO_SHOW
    async with story.ctx.pool.acquire() as conn:
        [verdict] = await store.verdicts(conn, session)
    assert verdict.inputs["mentee"]["finding"] == "waiting_only"
    assert verdict.inputs["mentee"]["waiting"] == [
        {"from": "2026-03-03T10:01:00Z", "to": "2026-03-03T10:08:00Z"}
    ]
    assert "never got a connection" in verdict.reason


async def test_an_outage_pauses_the_ladder_and_is_left_out_of_the_verdict(story: Story) -> None:
    """Nothing from minute 2 to minute 20: the mentee may come until minute 31, and he does, in time."""
    session = (await story.session(START)).session_id
    server = new_id()
    story.clock.set(at(-1))
    await outages.begin(story.ctx, server)
    await story.present(session, story.mentor, at(0), at(2), peer="before")
    story.clock.set(at(2))
    await outages.beat(story.ctx, server, timedelta(seconds=5))
    for minutes in (3, 12, 19):
        story.clock.set(at(minutes))
        await outages.gone_since(story.ctx, at(2))  # a worker says so, again and again
        assert await attendance.suspect_no_shows(story.ctx) == 0
    story.clock.set(at(20))
    assert await outages.begin(story.ctx, new_id())
    await story.present(session, story.mentor, at(20.5), at(60), peer="after")
    story.clock.set(at(20.9))
    assert await attendance.suspect_no_shows(story.ctx) == 0
    story.clock.set(at(22))  # two minutes before, one since everybody could be back
    assert await attendance.suspect_no_shows(story.ctx) == 1
    await story.present(session, story.mentee, at(28), at(28.5))
    story.clock.set(at(80))
    assert await attendance.settle(story.ctx, session) is Outcome.MENTEE_NO_SHOW  # half a minute is no stay
    async with story.ctx.pool.acquire() as conn:
        [verdict] = await store.verdicts(conn, session)
        [outage] = await store.outages_between(conn, START, END)
    assert (outage.began_at, outage.ended_at, outage.cause) == (at(2), at(20), "server_gap")
    assert verdict.inputs["expected_seconds"] == (60 - 18 - 1) * 60


async def test_a_session_inside_an_outage_counts_against_nobody(story: Story) -> None:
    booking = await story.session(START)
    story.clock.set(at(-30))
    await outages.begin(story.ctx, new_id())
    story.clock.set(at(55))
    await outages.begin(story.ctx, new_id())
    story.clock.set(END)
    assert await attendance.settle(story.ctx, booking.session_id) is Outcome.CANCELLED
    wallet = await ledger.wallet(story.ctx, story.mentee.id)
    assert (wallet.balance_tokens, wallet.held_tokens) == (1000, 0)
    session = await sessions.get(story.ctx, principal(story.mentee), booking.session_id)
    assert (session.status, session.outcome) == ("settled", "cancelled")


async def test_a_shared_room_gives_each_booking_its_own_verdict(story: Story) -> None:
    """Two sessions of the mentor in one room; one mentee comes, the other does not."""
    other = await make_story(story.ctx.pool, story.clock, story.ctx.settings, name="second")
    first = await story.session(START)
    second = await other.session(START)
    async with story.ctx.pool.acquire() as conn:  # as merging does it, which has its own tests
        await conn.execute(
            "UPDATE sessions SET room_id = $2 WHERE id = $1", second.session_id, first.session_id
        )
        await conn.execute(
            "UPDATE sessions SET mentor_id = $2 WHERE id = $1", second.session_id, story.mentor.id
        )
    room = first.session_id
    await story.present(room, story.mentor, at(0), None, peer="mentor")
    await story.present(room, other.mentee, at(1), at(20))
    await story.present(room, other.mentee, at(21), at(50))  # a reload: the same person, once
    story.clock.set(at(4))
    await attendance.suspect_no_shows(story.ctx)
    assert await nudged(story, room) == [("mentee", 3, True)]
    await attendance.left(story.ctx, room, story.mentor.id, "mentor", at(60), "closed")
    story.clock.set(at(80))
    assert await attendance.settle(story.ctx, room) is Outcome.MENTEE_NO_SHOW
    async with story.ctx.pool.acquire() as conn:
        locked = await store.lock_session(conn, second.session_id)
        assert locked is not None
        known = await evidence_in(conn, locked, at(80))
    assert known.decide() is Outcome.COMPLETED
    assert known.mentee.seen.present_seconds == (19 + 29) * 60
