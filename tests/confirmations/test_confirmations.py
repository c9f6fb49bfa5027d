"""Asked once with the reminder, answered as often as one likes, missed once, and amended aloud."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs.confirmations import sweep
from jobs.outbox import drain
from jobs.reminders import remind
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.base.errors import Conflict, Forbidden, Gone, NotFound
from server.booking.model import Booking
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.confirmations.tickets import Ticket, Verb, link
from server.people.model import User
from server.sessions import actions as sessions
from server.settings import Settings
from tests.support.story import Story, make_story

START = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
SLACK = "http://127.0.0.1:9/services/T0/B0/secret"  # nothing is sent in these tests


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    made = await make_story(pool, clock, settings)
    providers = replace(made.ctx.settings.providers, slack_webhook_url=SLACK)
    return replace(made, ctx=replace(made.ctx, settings=replace(made.ctx.settings, providers=providers)))


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


async def go(story: Story, *minutes: float) -> None:
    """Every job of these minutes, and what follows from them."""
    for when in minutes:
        story.clock.set(at(when))
        await remind(story.ctx)
        await sweep(story.ctx)
        await drain(story.ctx)


async def asked(story: Story) -> Booking:
    booking = await story.session(START)
    await go(story, -240)
    return booking


async def say(story: Story, who: User, booking: Booking, answer: Answer) -> confirmations.Answered:
    done = await confirmations.answer(story.ctx, who.id, booking.session_id, answer, "page")
    await drain(story.ctx)
    return done


async def ops(story: Story) -> list[tuple[str, str]]:
    rows = await story.ctx.pool.fetch(
        "SELECT subject, body FROM notifications WHERE channel = 'slack' ORDER BY created_at, id"
    )
    return [(row["subject"], row["body"]) for row in rows]


async def facts(story: Story, kind: str) -> list[dict[str, Any]]:
    rows = await story.ctx.pool.fetch("SELECT data FROM facts WHERE kind = $1 ORDER BY id", kind)
    return [row["data"] for row in rows]


async def said(story: Story, session_id: UUID) -> dict[UUID, str | None]:
    found = (await confirmations.of_sessions(story.ctx, [session_id]))[session_id]
    return {it.user_id: it.answer and it.answer.value for it in found.people}


async def test_the_reminder_asks_once_by_links_for_each(story: Story) -> None:
    booking = await asked(story)
    await go(story, -239)
    rows = await story.ctx.pool.fetch(
        "SELECT role, body, buttons FROM notifications WHERE kind = 'reminder' AND channel = 'email' ORDER BY role"
    )
    assert [row["role"] for row in rows] == ["mentee", "mentor"]
    for row, who in zip(rows, (story.mentee, story.mentor), strict=True):
        for verb in (Verb.YES, Verb.NO, Verb.MOVE):
            assert link(story.ctx.settings, Ticket(booking.session_id, who.id, 1, verb)) in row["body"]
        assert len(row["buttons"]) == 3
    [fact] = await facts(story, "confirmation_asked")
    assert set(fact["users"]) == {str(story.mentor.id), str(story.mentee.id)}
    assert await said(story, booking.session_id) == {story.mentor.id: None, story.mentee.id: None}


async def test_an_answer_may_change_and_the_same_again_changes_nothing(story: Story) -> None:
    booking = await asked(story)
    for answer, changed in ((Answer.YES, True), (Answer.YES, False), (Answer.NO, True), (Answer.YES, True)):
        assert (await say(story, story.mentee, booking, answer)).changed is changed
    assert await said(story, booking.session_id) == {story.mentor.id: None, story.mentee.id: "yes"}
    assert [(it["previous"], it["answer"]) for it in await facts(story, "confirmation_answered")] == [
        (None, "yes"), ("yes", "no"), ("no", "yes"),
    ]  # fmt: skip
    assert await ops(story) == []


async def test_a_missing_answer_is_told_once_and_a_late_one_amends(story: Story) -> None:
    booking = await asked(story)
    await say(story, story.mentee, booking, Answer.YES)
    await go(story, -121)
    assert await ops(story) == []
    story.clock.set(at(-120))
    assert sum(await asyncio.gather(*(sweep(story.ctx) for _ in range(20)))) == 1
    await asyncio.gather(*(drain(story.ctx) for _ in range(3)))
    await go(story, -119, -60, -30)
    [(subject, body)] = await ops(story)
    assert subject == "No answer: Jonas Weber with Asha Rao, 10:00"
    assert "Asha Rao (mentor)" in body and "(mentee)" not in body
    assert f"/sessions/{booking.session_id}" in body and "10:00 to 11:00 (UTC" in body
    done = await say(story, story.mentor, booking, Answer.YES)
    assert done.late and done.changed
    assert (await say(story, story.mentor, booking, Answer.YES)).changed is False
    await say(story, story.mentor, booking, Answer.NO)
    assert [subject.split(" (")[0] for subject, _ in (await ops(story))[1:]] == [
        "Amended: now yes", "Amended: now no, cannot come",
    ]  # fmt: skip
    assert "before: yes" in (await ops(story))[2][1]
    found = (await confirmations.of_sessions(story.ctx, [booking.session_id]))[booking.session_id]
    mine = found.of(story.mentor.id)
    assert mine is not None and mine.late and mine.changes == 1


async def test_a_late_answer_is_told_also_when_the_session_was_called_off_before_anybody_could(
    story: Story,
) -> None:
    booking = await asked(story)
    await go(story, -120)
    await confirmations.answer(story.ctx, story.mentor.id, booking.session_id, Answer.NO, "page")
    await sessions.cancel(story.ctx, story.mentor.id, booking.id, "ill")
    await drain(story.ctx)
    [_, (subject, body)] = await ops(story)
    assert subject == "Amended: now no, cannot come (Jonas Weber with Asha Rao, 10:00)"
    assert "(UTC, UTC+00:00)\nCalled off since.\nhttp" in body, body


async def test_what_operators_hear_of_a_moved_session_says_which_time_was_meant(story: Story) -> None:
    booking = await asked(story)
    story.clock.set(at(-120))
    await sweep(story.ctx)  # noted, and not told yet
    await confirmations.answer(story.ctx, story.mentee.id, booking.session_id, Answer.YES, "page")
    await sessions.reschedule(
        story.ctx, story.mentor.id, booking.id, start=at(360), end=at(420), reason="double booked"
    )
    await sessions.approve(story.ctx, story.mentee.id, booking.id)
    await drain(story.ctx)
    [(subject, body)] = await ops(story)  # that an answer is missing is no news of the new time
    assert subject == "Amended: now yes (Jonas Weber with Asha Rao, 16:00)"
    assert "Moved or changed since the question; this is how it stands now.\nhttp" in body, body


async def test_nobody_is_missing_who_answered_or_was_never_asked(story: Story) -> None:
    booking = await asked(story)
    for who in (story.mentor, story.mentee):
        await say(story, who, booking, Answer.NO)
    story.clock.set(at(-100))
    late = await story.session(at(0) + timedelta(hours=2))  # asked four hours before? there were only 3 h 40
    await go(story, -99, -1, 30, 60)
    assert await ops(story) == []
    with pytest.raises(Conflict, match="not_asked"):
        await say(story, story.mentee, late, Answer.YES)


async def test_a_moved_session_asks_anew_and_old_links_say_so(story: Story) -> None:
    booking = await asked(story)
    await say(story, story.mentee, booking, Answer.YES)
    old = link(story.ctx.settings, Ticket(booking.session_id, story.mentee.id, 1, Verb.NO)).rsplit("/", 1)[1]
    await sessions.reschedule(
        story.ctx, story.mentor.id, booking.id, start=at(360), end=at(420), reason="double booked"
    )
    await sessions.approve(story.ctx, story.mentee.id, booking.id)
    await drain(story.ctx)
    assert await said(story, booking.session_id) == {}
    with pytest.raises(Gone, match="session_moved"):
        await confirmations.follow(story.ctx, old)
    await go(story, -120, 119, 120)
    assert await said(story, booking.session_id) == {story.mentor.id: None, story.mentee.id: None}
    assert await ops(story) == []
    await go(story, 240, 241)
    assert len(await ops(story)) == 1


async def test_a_cancelled_session_asks_nothing_and_refuses_kindly(story: Story) -> None:
    booking = await asked(story)
    token = link(story.ctx.settings, Ticket(booking.session_id, story.mentee.id, 1, Verb.YES)).rsplit("/", 1)[
        1
    ]
    assert (await confirmations.open_link(story.ctx, token)).ticket.verb is Verb.YES
    await sessions.cancel(story.ctx, story.mentee.id, booking.id, "ill")
    await go(story, -120, -30)
    assert await ops(story) == []
    for refused in (confirmations.follow, confirmations.open_link):
        with pytest.raises(Conflict, match="session_cancelled"):
            await refused(story.ctx, token)
    with pytest.raises(NotFound, match="link_invalid"):
        # Not the last character: two of its bits are padding, and one in sixteen changes would change nothing.
        await confirmations.follow(story.ctx, ("A" if token[0] != "A" else "B") + token[1:])


async def test_nobody_else_answers_and_nobody_after_the_start(story: Story) -> None:
    booking = await asked(story)
    other = await make_story(story.ctx.pool, story.clock, story.ctx.settings, name="two")
    with pytest.raises(Forbidden, match="not_a_participant"):
        await confirmations.answer(story.ctx, other.mentee.id, booking.session_id, Answer.YES, "page")
    await say(story, story.mentee, booking, Answer.YES)
    story.clock.set(START)
    with pytest.raises(Conflict, match="session_begun"):
        await say(story, story.mentee, booking, Answer.NO)


async def test_twenty_at_once_ask_and_answer_once(story: Story) -> None:
    booking = await story.session(START)
    await drain(story.ctx)
    story.clock.set(at(-240))
    await asyncio.gather(*(remind(story.ctx) for _ in range(20)))
    answers = await asyncio.gather(
        *(
            confirmations.answer(story.ctx, story.mentee.id, booking.session_id, Answer.YES, "page")
            for _ in range(20)
        )
    )
    assert sum(it.changed for it in answers) == 1
    assert (
        len(await facts(story, "confirmation_asked")) == len(await facts(story, "confirmation_answered")) == 1
    )
