"""From verdicts to a restriction and out of it again, on real sessions: mails, bookings, slots, appeals, amendments."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from jobs.outbox import drain
from server.attendance import actions as attendance
from server.availability import actions as availability
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Conflict, Forbidden, Invalid, NotFound
from server.booking.model import Status
from server.conduct import actions as conduct
from server.conduct.model import Appeal
from server.people import actions as people
from server.people.model import Principal, User
from server.sessions import actions as sessions
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def missed(story: Story, by: User, times: int) -> list[UUID]:
    """So many sessions, a day apart, to which only the other side came; settled, and told."""
    found = []
    start = story.clock.now().replace(minute=0, second=0) + timedelta(hours=25)
    for number in range(times):
        booking = await story.session(start + number * timedelta(days=1))
        came = story.mentee if by is story.mentor else story.mentor
        await story.present(booking.session_id, came, booking.start, booking.end)
        story.clock.set(booking.end + timedelta(minutes=20))
        await attendance.settle(story.ctx, booking.session_id)
        for _ in range(3):  # facts of facts; and again, for nothing
            await drain(story.ctx)
        found.append(booking.session_id)
    return found


async def letters(story: Story) -> list[tuple[str, str, str]]:
    for _ in range(2):
        await drain(story.ctx)
    rows = await story.ctx.pool.fetch(
        "SELECT kind, role, body FROM notifications WHERE channel = 'email' AND kind LIKE 'conduct%'"
        " ORDER BY created_at, id"
    )
    return [(row["kind"], row["role"], row["body"]) for row in rows]


async def test_a_mentee_is_warned_restricted_and_heard(story: Story) -> None:
    ctx = story.ctx
    kept = await story.session(story.clock.now() + timedelta(days=20))
    await missed(story, story.mentee, 2)
    assert [it[:2] for it in await letters(story)] == [("conduct_warned", "mentee")]
    assert "After 3 missed sessions within 90 days" in (await letters(story))[0][2]
    ids = await missed(story, story.mentee, 1)
    assert [it[:2] for it in await letters(story)][1:] == [("conduct_restricted", "mentee")]
    now = story.clock.now()
    until = await conduct.restricted_until(ctx, story.mentee.id)
    assert until is not None and timedelta(days=13) < until - now <= timedelta(days=14)
    with pytest.raises(Forbidden) as refused:
        await story.request(now.replace(minute=0) + timedelta(days=3))
    assert refused.value.code == "booking_restricted"
    assert refused.value.extra["until"] == until.isoformat().replace("+00:00", "Z")
    # What is agreed stays, and the follow-up of the third offers no way around.
    assert (
        await sessions.get(ctx, Principal(story.mentee.id, story.mentee.role), kept.session_id)
    ).outcome is None
    body = await ctx.pool.fetchval(
        "SELECT body FROM notifications WHERE channel = 'email' AND kind = 'follow_up' AND role = 'mentee'"
        " AND session_id = $1",
        ids[0],
    )
    assert "/links/" not in body
    assert await conduct.restricted_until(ctx, story.mentor.id) is None

    with pytest.raises(Invalid):
        await conduct.appeal(ctx, story.mentee.id, " ")
    results = await asyncio.gather(
        *(conduct.appeal(ctx, story.mentee.id, "My line was down.") for _ in range(5))
    )
    assert {it.appeal for it in results} == {Appeal.OPEN} and len(results[-1].steps) == 3
    with pytest.raises(Conflict):
        await conduct.appeal(ctx, story.mentee.id, "And another thing.")
    admin = await people.create_admin(ctx, "root@example.org", "correct horse battery")
    [case] = (await conduct.cases(ctx, appeals=True)).items
    assert (case.name, case.appeal, len(case.restriction.sessions)) == ("Jonas Weber", "My line was down.", 3)
    for _ in range(2):
        after = await conduct.accept(ctx, admin.id, case.restriction.id, "So it was.")
        assert (after.restriction, after.misses) == (None, ())
    with pytest.raises(Conflict):
        await conduct.reject(ctx, admin.id, case.restriction.id, "No.")
    assert (
        (await conduct.cases(ctx, appeals=True)).items
        == ()
        == (await conduct.cases(ctx, appeals=False)).items
    )
    assert [it[0] for it in await letters(story)][2:] == ["conduct_appealed", "conduct_appeal_accepted"]
    assert (await story.request(now.replace(minute=0) + timedelta(days=3))).status is Status.REQUESTED
    await missed(story, story.mentee, 1)  # the first that counts
    assert len(await letters(story)) == 4
    with pytest.raises(asyncpg.RestrictViolationError):
        await ctx.pool.execute("UPDATE conduct_steps SET words = 'x'")


async def test_a_mentor_is_hidden_and_cannot_accept_until_it_is_lifted(story: Story) -> None:
    ctx, far = story.ctx, story.clock.now() + timedelta(days=30)
    await missed(story, story.mentor, 2)
    waiting = await story.request(far)
    await missed(story, story.mentor, 1)
    assert [it[:2] for it in await letters(story)] == [
        ("conduct_warned", "mentor"), ("conduct_restricted", "mentor"),
    ]  # fmt: skip
    now = story.clock.now()
    assert await availability.open_slots(ctx, story.mentor.id, now, now + timedelta(days=3)) == []
    [card] = (await availability.directory(ctx)).items
    assert card.next_slot is None
    with pytest.raises(Invalid) as hidden:
        await story.request(now.replace(minute=0) + timedelta(days=3))
    assert hidden.value.errors[0].code == "not_a_slot"
    with pytest.raises(Forbidden):
        await sessions.approve(ctx, story.mentor.id, waiting.id)
    [case] = (await conduct.cases(ctx, appeals=False)).items
    admin = await people.create_admin(ctx, "root@example.org", "correct horse battery")
    with pytest.raises(NotFound):
        await conduct.lift(ctx, admin.id, story.mentor.id, "No such thing.")
    with pytest.raises(Conflict):
        await conduct.accept(ctx, admin.id, case.restriction.id, "Nobody asked.")
    for _ in range(2):
        await conduct.lift(ctx, admin.id, case.restriction.id, "She was ill.")
    assert [it[0] for it in await letters(story)][2:] == ["conduct_lifted"]
    assert len(await availability.open_slots(ctx, story.mentor.id, now, now + timedelta(days=3))) > 50
    assert (await availability.directory(ctx)).items[0].next_slot is not None
    with pytest.raises(Conflict) as over:
        await conduct.appeal(ctx, story.mentor.id, "Too late.")
    assert over.value.code == "not_restricted"


async def test_an_amended_verdict_gives_the_freedom_back(story: Story) -> None:
    ids = await missed(story, story.mentee, 3)
    await story.ctx.pool.execute("UPDATE sessions SET outcome = 'both_absent' WHERE id = $1", ids[0])
    for _ in range(2):
        async with story.ctx.pool.acquire() as conn, conn.transaction():
            await conduct.review_in(conn, story.mentee.id, story.clock.now())
    assert await conduct.restricted_until(story.ctx, story.mentee.id) is None
    assert [it[0] for it in await letters(story)] == [
        "conduct_warned",
        "conduct_restricted",
        "conduct_lifted",
    ]
    assert len((await conduct.standing(story.ctx, story.mentee.id)).misses) == 2
