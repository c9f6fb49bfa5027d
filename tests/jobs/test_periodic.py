"""What the periodic jobs and reactions make of a story: every message once, to the right people, however often."""

from __future__ import annotations

import asyncio
import importlib.util
import pkgutil
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from icalendar import Calendar

import server
from jobs.periodic import JOBS, JobReport, run_job
from jobs.reactions import REACTIONS
from server.attendance import actions as attendance
from server.base.errors import NotFound
from server.integrations.channels import Channels
from server.notifications.actions import inbox
from server.notifications.model import InboxItem
from server.sessions import actions as sessions
from tests.support.story import Story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


async def run(story: Story, name: str, when: datetime) -> JobReport:
    story.clock.set(when)
    report = await run_job(story.ctx, Channels(inbox=True), name, when)
    assert report.ok, report.text
    return report


async def mails(story: Story, session_id: UUID | None, kind: str) -> list[InboxItem]:
    return sorted(
        (m for m in await inbox(story.ctx) if m.session_id == session_id and m.kind == kind),
        key=lambda m: m.role,
    )


def event(item: InboxItem) -> tuple[str, int, str]:
    """(METHOD, SEQUENCE, STATUS) of the attached invitation."""
    assert item.calendar is not None
    calendar = Calendar.from_ical(item.calendar)
    found: Any = calendar.walk("VEVENT")[0]
    return str(calendar["METHOD"]), int(found["SEQUENCE"]), str(found["STATUS"])


def test_every_fact_is_in_the_table() -> None:
    """A new kind of fact has to be given its reactions, even if it has none."""
    slices = [it.name for it in pkgutil.iter_modules(server.__path__) if it.ispkg]
    found = [f"server.{name}.model" for name in slices]
    modules = [importlib.import_module(name) for name in found if importlib.util.find_spec(name) is not None]
    kinds = {
        value.KIND
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and hasattr(value, "KIND")
    }
    assert kinds == set(REACTIONS)


async def test_a_request_and_an_approval_are_told_once(story: Story) -> None:
    booking = await story.request(START)
    await run(story, "reminders", story.clock.now())
    [asked] = await mails(story, booking.session_id, "booking_requested")
    assert (asked.recipient, asked.role) == (story.mentor.email, "mentor")
    assert "15:30 to 16:30 (Asia/Kolkata, UTC+05:30)" in asked.text
    await sessions.approve(story.ctx, story.mentor.id, booking.id)
    for _ in range(2):
        await run(story, "reminders", story.clock.now())
    mentee, mentor = await mails(story, booking.session_id, "booking_approved")
    assert (mentee.recipient, mentor.recipient) == (story.mentee.email, story.mentor.email)
    assert "11:00 to 12:00 (Europe/Berlin, UTC+01:00)" in mentee.text
    assert event(mentee) == event(mentor) == ("REQUEST", 1, "CONFIRMED")


async def test_a_reminder_comes_once_and_in_time(story: Story) -> None:
    session = (await story.session(START)).session_id
    await run(story, "reminders", at(-31))
    assert await mails(story, session, "reminder") == []
    for minutes in (-30, -30, -29, -6):
        await run(story, "reminders", at(minutes))
    assert [m.role for m in await mails(story, session, "reminder")] == ["mentee", "mentor"]


async def test_nothing_is_reminded_of_that_has_begun_or_is_not_agreed(story: Story) -> None:
    begun = (await story.session(START)).session_id
    await run(story, "reminders", START)
    requested = (await story.request(at(60))).session_id
    cancelled = await story.session(at(120))
    await sessions.cancel(story.ctx, story.mentee.id, cancelled.id, "ill")
    await run(story, "reminders", at(45))
    await run(story, "reminders", at(105))
    for session in (begun, requested, cancelled.session_id):
        assert await mails(story, session, "reminder") == []


async def test_a_moved_session_is_reminded_of_again(story: Story) -> None:
    booking = await story.session(START)
    await run(story, "reminders", at(-20))
    await sessions.reschedule(
        story.ctx, story.mentor.id, booking.id, start=at(120), end=at(180), reason="double booked"
    )
    await sessions.approve(story.ctx, story.mentee.id, booking.id)
    await run(story, "reminders", at(-19))
    mentee, _ = await mails(story, booking.session_id, "booking_rescheduled")
    assert event(mentee) == ("REQUEST", 2, "CONFIRMED")
    assert "double booked" in mentee.text
    assert len(await mails(story, booking.session_id, "reminder")) == 2
    await run(story, "reminders", at(100))
    assert len(await mails(story, booking.session_id, "reminder")) == 4


async def test_a_proposed_time_is_asked_of_the_other_side_and_the_calendar_moves_when_it_is_accepted(
    story: Story,
) -> None:
    booking = await story.session(START)
    await sessions.reschedule(
        story.ctx, story.mentee.id, booking.id, start=at(120), end=at(180), reason="a train"
    )
    await run(story, "reminders", at(-60))
    (asked,) = await mails(story, booking.session_id, "move_proposed")
    assert asked.role == "mentor" and "a train" in asked.text and asked.calendar is None
    assert await mails(story, booking.session_id, "booking_rescheduled") == []
    await sessions.approve(story.ctx, story.mentor.id, booking.id)
    await run(story, "reminders", at(-59))
    mentee, mentor = await mails(story, booking.session_id, "booking_rescheduled")
    assert event(mentee) == event(mentor) == ("REQUEST", 2, "CONFIRMED")


async def test_a_proposal_answered_before_anybody_was_asked_is_asked_of_nobody(story: Story) -> None:
    booking = await story.session(START)
    await sessions.reschedule(
        story.ctx, story.mentee.id, booking.id, start=at(120), end=at(180), reason="a train"
    )
    await sessions.approve(story.ctx, story.mentor.id, booking.id)
    await run(story, "booking_expiry", at(-600))
    assert await mails(story, booking.session_id, "move_proposed") == []
    assert len(await mails(story, booking.session_id, "booking_rescheduled")) == 2
    assert await story.ctx.pool.fetchval("SELECT count(*) FROM facts WHERE handled_at IS NULL") == 0


@pytest.mark.parametrize("answered", [True, False])
async def test_who_proposed_learns_that_the_old_time_stands(story: Story, answered: bool) -> None:
    booking = await story.session(START)
    await sessions.reschedule(story.ctx, story.mentor.id, booking.id, start=at(120), end=at(180), reason="")
    if answered:
        await sessions.reject(story.ctx, story.mentee.id, booking.id, "an exam")
    await run(story, "booking_expiry", START)
    await run(story, "booking_expiry", START)
    (told,) = await mails(story, booking.session_id, "move_declined")
    assert told.role == "mentor"
    assert ("an exam" in told.text) == answered
    assert ("did not answer in time" in told.text) != answered


async def test_a_request_nobody_answers_is_put_away_and_both_are_told_once(story: Story) -> None:
    booking = await story.request(START)
    await run(story, "booking_expiry", START)
    await run(story, "booking_expiry", at(1))
    mentee, mentor = await mails(story, booking.session_id, "booking_expired")
    assert (mentee.role, mentor.role) == ("mentee", "mentor")
    assert "30 tokens are back" in mentee.text


async def test_a_cancellation_takes_the_calendar_entry_back(story: Story) -> None:
    booking = await story.session(START)
    await run(story, "reminders", story.clock.now())
    await sessions.cancel(story.ctx, story.mentor.id, booking.id, "I am ill")
    await run(story, "reminders", story.clock.now())
    mentee, mentor = await mails(story, booking.session_id, "booking_cancelled")
    assert event(mentee) == event(mentor) == ("CANCEL", 2, "CANCELLED")
    assert "I am ill" in mentee.text and "30 tokens" in mentee.text


async def test_a_confirmation_overtaken_by_a_cancellation_is_not_sent(story: Story) -> None:
    booking = await story.session(START)
    await sessions.cancel(story.ctx, story.mentor.id, booking.id, "")
    await run(story, "reminders", story.clock.now())
    assert await mails(story, booking.session_id, "booking_approved") == []
    assert len(await mails(story, booking.session_id, "booking_cancelled")) == 2


async def test_a_rejection_is_told_to_the_mentee(story: Story) -> None:
    booking = await story.request(START)
    await sessions.reject(story.ctx, story.mentor.id, booking.id, "on holiday")
    await run(story, "reminders", story.clock.now())
    [told] = await mails(story, booking.session_id, "booking_rejected")
    assert (told.recipient, told.calendar) == (story.mentee.email, None)
    assert "on holiday" in told.text


async def test_only_the_mentor_came(story: Story) -> None:
    """The second journey: the absent one is called after 3 and 10 minutes, the verdict falls once, both are told."""
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(-2), None, peer="first")
    for minutes in (2, 3, 3, 4, 9, 10, 11, 12):
        await run(story, "no_show", at(minutes))
    second, first = await mails(story, session, "no_show_nudge")
    assert (first.role, second.role) == ("mentee", "mentee")
    assert first.subject == "Your session with Asha Rao has begun" and "waits for you" in first.text
    assert second.subject == "Asha Rao is waiting for you"
    await attendance.left(story.ctx, session, story.mentor.id, "first", at(25), "closed")
    for minutes in (30, 61, 61, 80, 200):
        await run(story, "session_status", at(minutes))
    mentee, mentor = await mails(story, session, "follow_up")
    assert mentee.subject == "We missed you: your session with Asha Rao"
    assert "24 tokens" in mentor.text


async def test_payslips_are_written_to_their_mentors(story: Story) -> None:
    session = (await story.session(START)).session_id
    await story.present(session, story.mentor, at(0), at(60))
    await run(story, "session_status", at(80))
    for day in (26, 26, 27):
        await run(story, "payroll", datetime(2026, 3, day, 0, 5, tzinfo=UTC))
    [slip] = await mails(story, None, "payslip")
    assert (slip.recipient, slip.subject) == (story.mentor.email, "Your payslip for 2026-03: 24 tokens")
    assert "Thursday, 26 February 2026" in slip.text


async def test_many_at_once_do_it_once(story: Story) -> None:
    session = (await story.session(START)).session_id
    story.clock.set(at(-20))
    await asyncio.gather(*(run_job(story.ctx, Channels(inbox=True), "reminders", at(-20)) for _ in range(3)))
    assert len(await mails(story, session, "reminder")) == 2


async def test_a_run_is_remembered_once(story: Story) -> None:
    await story.session(START)
    for _ in range(2):
        await run(story, "reminders", at(-20))
    async with story.ctx.pool.acquire() as conn:
        [row] = await conn.fetch("SELECT * FROM job_runs")
    assert (row["job"], row["scheduled_for"], row["result"], row["rows_touched"]) == (
        "reminders",
        at(-20),
        "ok",
        2,
    )


async def test_an_unknown_job_is_refused(story: Story) -> None:
    with pytest.raises(NotFound, match=", ".join(JOBS)):
        await run_job(story.ctx, Channels(inbox=True), "nonsense", START)
    assert all(job.name == name and job.summary and job.schedule.text for name, job in JOBS.items())
