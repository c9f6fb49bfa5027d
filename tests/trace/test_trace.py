"""The story of a session is complete and in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.periodic import run_job
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import NotFound
from server.base.ids import new_id
from server.integrations.channels import Channels
from server.sessions import actions as sessions
from server.settings import Settings
from server.trace.actions import story as trace
from server.trace.model import render
from tests.support.story import make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


async def test_a_whole_story(pool: Pool, clock: SteppedClock, settings: Settings) -> None:
    story = await make_story(pool, clock, settings)

    async def run(name: str, at: datetime) -> None:
        clock.set(at)
        assert (await run_job(story.ctx, Channels(inbox=True), name, at)).ok

    booking = await story.request(START)
    clock.step(timedelta(minutes=5))
    await sessions.approve(story.ctx, story.mentor.id, booking.id)
    await run("reminders", START - timedelta(minutes=30))
    await story.present(booking.session_id, story.mentor, START, START + timedelta(minutes=60))
    await story.present(
        booking.session_id, story.mentee, START + timedelta(minutes=1), START + timedelta(minutes=20)
    )
    await story.present(
        booking.session_id, story.mentee, START + timedelta(minutes=21), START + timedelta(minutes=59)
    )
    await run("session_status", START + timedelta(minutes=76))
    await run("payroll", datetime(2026, 3, 26, 0, 5, tzinfo=UTC))
    lines = await trace(story.ctx, booking.session_id)
    assert [line.what for line in lines] == [
        "booked", "held", "approved", "mailed", "mailed", "reminded", "reminded",
        "joined", "joined", "left", "joined", "left", "left",
        "settled", "accrued", "fee", "mailed", "mailed", "paid",
    ]  # fmt: skip
    assert lines == sorted(lines, key=lambda line: line.at)
    text = render(lines)
    assert "2026-03-02T09:00:00Z  booked    Jonas Weber (mentee) with Asha Rao (mentor)" in text
    assert "2026-03-03T10:20:00Z  left      Jonas Weber (mentee) after 1140 s: closed" in text
    assert "completed (earning 24, fee 6, released 0)" in text
    assert "24 tokens on payslip 2026-03 of Asha Rao (mentor)" in text
    assert f"reminder to {story.mentee.email} (mentee): Your session with Asha Rao starts at 11:00" in text


async def test_somebody_in_the_room_has_not_left_and_a_waiting_mail_says_so(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story = await make_story(pool, clock, settings)
    booking = await story.session(START)
    await story.present(booking.session_id, story.mentor, START, None)
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "no time")
    lines = await trace(story.ctx, booking.session_id)
    assert [line.what for line in lines] == ["booked", "held", "approved", "cancelled", "released", "joined"]
    assert lines[3].detail == "by Jonas Weber (mentee): no time"


async def test_there_is_no_story_without_a_session(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story = await make_story(pool, clock, settings)
    with pytest.raises(NotFound):
        await trace(story.ctx, new_id())
    assert render([]) == ""
