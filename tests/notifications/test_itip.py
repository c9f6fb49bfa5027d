"""The invitations of one session, from booking to cancellation, as a calendar that reads its owner's mail sees them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from icalendar import Calendar

from jobs.outbox import drain
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.integrations.channels import Channels
from server.notifications.actions import inbox
from server.notifications.delivery import deliver_due
from server.sessions import actions as sessions
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def invitations(story: Story, address: str) -> list[tuple[str, str, int, datetime]]:
    """(METHOD, UID, SEQUENCE, DTSTART) in the order in which they came."""
    await drain(story.ctx)
    await deliver_due(story.ctx, Channels(inbox=True))
    found = []
    for item in reversed(await inbox(story.ctx)):
        if item.recipient == address and item.calendar is not None:
            calendar = Calendar.from_ical(item.calendar)
            event: Any = calendar.walk("VEVENT")[0]
            start = event["DTSTART"].dt
            found.append((str(calendar["METHOD"]), str(event["UID"]), int(event["SEQUENCE"]), start))
    return found


async def test_one_event_that_is_confirmed_moved_twice_and_taken_back(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story = await make_story(pool, clock, settings)
    booking = await story.request(START)
    for person in (story.mentor, story.mentee):
        assert await invitations(story, person.email) == []  # nothing is agreed
    clock.step(timedelta(minutes=1))
    await sessions.approve(story.ctx, story.mentor.id, booking.id)
    await invitations(story, story.mentee.email)
    sides = (story.mentee.id, story.mentor.id)
    for days, (asks, agrees) in enumerate((sides, sides[::-1]), 1):
        clock.step(timedelta(minutes=1))
        at = START + timedelta(days=days)
        await sessions.reschedule(story.ctx, asks, booking.id, start=at, end=at + HOUR, reason="")
        clock.step(timedelta(minutes=1))
        await sessions.approve(story.ctx, agrees, booking.id)
        await invitations(story, story.mentee.email)
    clock.step(timedelta(minutes=1))
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "")

    for person in (story.mentor, story.mentee):
        told = await invitations(story, person.email)
        assert [method for method, *_ in told] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
        assert {uid for _, uid, *_ in told} == {f"session-{booking.session_id}@visavis"}
        sequences = [sequence for _, _, sequence, _ in told]
        assert sequences == sorted(set(sequences)), "each must outdo the one before"

        assert [start for *_, start in told] == [START + timedelta(days=day) for day in (0, 1, 2, 2)]
