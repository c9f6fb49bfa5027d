"""Reminders come in tiers, each once, whatever becomes of the ticks that bring them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from jobs.outbox import drain
from jobs.reminders import TOLERANCE, due_times, remind, template_for
from server.base.clock import SteppedClock
from server.base.db import Pool, create_pool
from server.sessions import actions as sessions
from server.settings import Settings, SettingsError, load_settings
from tests.support.poison import cure, poison
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
TIERS = (timedelta(hours=4), timedelta(minutes=30), timedelta(minutes=5))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


async def sweep(story: Story, *minutes: float) -> None:
    for when in minutes:
        story.clock.set(at(when))
        await remind(story.ctx)


async def written(story: Story, session_id: UUID) -> list[tuple[str, str]]:
    """(role, first word of the subject) in the order of writing."""
    rows = await story.ctx.pool.fetch(
        "SELECT role, subject FROM notifications WHERE session_id = $1 AND kind = 'reminder' AND channel = 'email'"
        " ORDER BY created_at, role",
        session_id,
    )
    return [(row["role"], row["subject"].split()[0].rstrip(":")) for row in rows]


async def states(story: Story, session_id: UUID) -> list[tuple[int, int, str]]:
    rows = await story.ctx.pool.fetch(
        "SELECT revision, lead_seconds / 60, status FROM reminders WHERE session_id = $1 ORDER BY 1, 2 DESC",
        session_id,
    )
    return [tuple(row) for row in rows]


def both(*words: str) -> list[tuple[str, str]]:
    return [(role, word) for word in words for role in ("mentee", "mentor")]


async def test_three_tiers_each_with_its_own_words(story: Story) -> None:
    session = (await story.session(START)).session_id
    await drain(story.ctx)
    assert await states(story, session) == [(1, 240, "planned"), (1, 30, "planned"), (1, 5, "planned")]
    await sweep(story, -241)
    assert await written(story, session) == []
    await sweep(story, -240, -239, -31)
    assert await written(story, session) == both("Later")
    await sweep(story, -30, -29, -6, -5, -4, 0)
    assert await written(story, session) == both("Later", "Your", "Join")
    assert await states(story, session) == [(1, 240, "sent"), (1, 30, "sent"), (1, 5, "sent")]


@pytest.mark.parametrize(
    ("ahead", "tiers"), [(20, [5]), (30, [30, 5]), (29, [5]), (5, [5]), (3, [5]), (241, [240, 30, 5])]
)
def test_a_session_agreed_late_gets_what_is_still_to_come(ahead: int, tiers: list[int]) -> None:
    due = due_times(START, at(-ahead), TIERS)
    assert [lead // timedelta(minutes=1) for lead, _ in due] == tiers
    assert all(at(-ahead) <= when < START for _, when in due)


async def test_booked_twenty_minutes_ahead(story: Story) -> None:
    story.clock.set(at(-20))
    session = (await story.session(START)).session_id
    await sweep(story, *range(-20, 1))
    assert await written(story, session) == both("Join")


async def test_the_last_chance_is_taken_at_once_and_the_past_is_left_alone(story: Story) -> None:
    story.clock.set(at(-2))
    session = (await story.session(START)).session_id
    await sweep(story, -1)
    assert await written(story, session) == both("Join")
    assert due_times(START, START, TIERS) == [] == due_times(START, at(-60), ())


async def test_a_moved_session_has_new_reminders_and_a_cancelled_one_none(story: Story) -> None:
    booking = await story.session(START)
    await sweep(story, -240)
    await sessions.reschedule(
        story.ctx, story.mentor.id, booking.id, start=at(120), end=at(180), reason="double booked"
    )
    await sessions.approve(story.ctx, story.mentee.id, booking.id)
    await drain(story.ctx)
    assert await states(story, booking.session_id) == [
        (1, 240, "sent"), (1, 30, "cancelled"), (1, 5, "cancelled"),
        (2, 240, "planned"), (2, 30, "planned"), (2, 5, "planned"),
    ]  # fmt: skip
    await sweep(story, -121)
    assert await written(story, booking.session_id) == both("Later")
    await sweep(story, -120, -30, -5)
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "ill")
    await drain(story.ctx)
    await sweep(story, 90, 115)
    assert await written(story, booking.session_id) == both("Later", "Later")
    assert {state for _, _, state in await states(story, booking.session_id)} == {"sent", "cancelled"}


async def test_a_cancellation_that_nobody_has_reacted_to_is_seen_all_the_same(story: Story) -> None:
    booking = await story.session(START)
    await drain(story.ctx)
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "ill")
    await sweep(story, -30)
    assert await written(story, booking.session_id) == []


async def test_too_late_is_said_and_the_next_tier_speaks(story: Story) -> None:
    session = (await story.session(START)).session_id
    await sweep(story, -240 + 11.1, -30 + 11, -5)
    assert await states(story, session) == [(1, 240, "missed"), (1, 30, "sent"), (1, 5, "sent")]
    assert await written(story, session) == both("Your", "Join")


async def test_twenty_sweeps_at_once_send_once(story: Story) -> None:
    found = [(await story.session(at(60 * n))).session_id for n in range(4)]
    await drain(story.ctx)
    for minutes in (-240, -180, -120, -60):
        story.clock.set(at(minutes))
        told = await asyncio.gather(*(remind(story.ctx) for _ in range(20)))
        assert sum(told) == 2
    for session in found:
        assert await written(story, session) == both("Later")


@pytest.mark.parametrize("table", ["notifications", "reminders"])
async def test_a_poisoned_reminder_harms_no_other_and_is_tried_again(
    story: Story, pool: Pool, clock: SteppedClock, settings: Settings, table: str
) -> None:
    """It cannot be told, or (its fact is still in the queue) not be planned; once it can the next sweep does it."""
    other = await make_story(pool, clock, settings, name="two")
    ill, sound = [(await it.session(START)).session_id for it in (story, other)]
    await poison(pool, table, "session_id", ill)
    for minutes in (-240, -239):
        with pytest.raises(ExceptionGroup, match=r"^1 sessions could not be reminded of"):
            await sweep(story, minutes)
        assert await written(story, sound) == both("Later")
        assert await written(story, ill) == []
    await cure(pool, table)
    await sweep(story, -238)
    assert await written(story, ill) == both("Later")
    assert await states(story, ill) == [(1, 240, "sent"), (1, 30, "planned"), (1, 5, "planned")]


async def test_a_poisoned_reminder_that_several_lanes_meet_is_one_failure(
    story: Story, pool: Pool, database_url: str
) -> None:
    """They wait for the only connection, and each finds it where the one before has left it."""
    session = (await story.session(START)).session_id
    await drain(story.ctx)
    await poison(pool, "notifications", "session_id", session)
    story.clock.set(at(-240))
    async with await create_pool(database_url, max_size=1) as narrow:
        with pytest.raises(ExceptionGroup, match=r"^1 sessions could not be reminded of"):
            await remind(replace(story.ctx, pool=narrow), lanes=3)


async def test_what_was_poisoned_until_it_was_too_late_is_put_away(story: Story) -> None:
    """Its mentor's zone is one that nobody knows."""
    session = (await story.session(START)).session_id
    await drain(story.ctx)
    await story.ctx.pool.execute("UPDATE users SET timezone = 'Mars/Phobos' WHERE id = $1", story.mentor.id)
    with pytest.raises(ExceptionGroup):
        await sweep(story, -230)
    await sweep(story, -228)
    assert (1, 240, "missed") in await states(story, session)
    assert await written(story, session) == []


@hypothesis(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), dropped=st.floats(0, 0.3))
async def test_ticks_dropped_doubled_and_jittered(story: Story, seed: int, dropped: float) -> None:
    """Each tier with a tick in its window is told once, and each without one is noted as missed."""
    dice = random.Random(seed)
    tiers = {240: 11.0, 30: 11.0, 5: 5.0}
    offset = timedelta(days=dice.randint(1, 200))
    story.clock.set(START + offset - timedelta(hours=6))
    start = START + offset
    if await story.ctx.pool.fetchval("SELECT count(*) FROM bookings WHERE lower(during) = $1", start):
        return
    session = (await story.session(start)).session_id
    ticks = sorted(
        n + dice.uniform(-11, 11)
        for lead in tiers
        for n in range(-lead - 15, -lead + 15)
        if dice.random() >= dropped
        for _ in range(dice.choice((1, 1, 2)))
    )
    for minutes in ticks:
        story.clock.set(start + timedelta(minutes=minutes))
        assert sum(await asyncio.gather(remind(story.ctx), remind(story.ctx))) in (0, 2)
    expected = {
        lead: "sent" if any(-lead <= tick <= min(-lead + late, -1e-9) for tick in ticks) else "missed"
        for lead, late in tiers.items()
    }
    found = {lead: state for _, lead, state in await states(story, session)}
    assert {lead: "missed" if state == "planned" else state for lead, state in found.items()} == expected
    assert len(await written(story, session)) == 2 * list(expected.values()).count("sent")


def test_the_text_follows_the_lead() -> None:
    leads = [timedelta(days=1), *TIERS, timedelta(minutes=15), timedelta(minutes=1)]
    assert [template_for(lead).split("_")[1] for lead in leads] == ["4", "4", "30", "5", "30", "5"]
    assert timedelta(minutes=11) == TOLERANCE


async def test_the_tiers_are_a_setting(story: Story, environ: dict[str, str]) -> None:
    chosen = load_settings(environ | {"VISAVIS_REMINDERS": "10m, 1h"}).reminders
    assert chosen == (timedelta(hours=1), timedelta(minutes=10))
    assert load_settings(environ | {"VISAVIS_REMINDERS": "none"}).reminders == ()
    for wrong in ("", "5", "0m", "200h", "5m;4h", "5m,,4h"):
        if wrong:
            with pytest.raises(SettingsError, match="VISAVIS_REMINDERS"):
                load_settings(environ | {"VISAVIS_REMINDERS": wrong})
    other = replace(story, ctx=replace(story.ctx, settings=replace(story.ctx.settings, reminders=chosen)))
    session = (await other.session(START)).session_id
    await sweep(other, -61, -60, -10, -5)
    assert await written(other, session) == both("Your", "Join")
