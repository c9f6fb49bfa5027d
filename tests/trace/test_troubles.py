"""What goes wrong, is put right and is said afterwards belongs to the story, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobs.confirmations import sweep
from jobs.outbox import drain
from jobs.reminders import remind
from server.attendance import actions as attendance
from server.attendance import amending
from server.base.clock import SteppedClock
from server.base.db import Pool
from server.booking.model import Booking
from server.conduct import actions as conduct
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer
from server.people import actions as people
from server.people.model import Principal
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from server.settings import Settings
from server.testimonials import actions as testimonials
from server.trace.actions import story as trace
from server.trace.model import render
from tests.support.story import PASSWORD, Story, make_story

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


async def miss(story: Story, booking: Booking, start: datetime) -> None:
    """The mentee does not come; the verdict falls, and what follows from it."""
    await story.present(booking.session_id, story.mentor, start, start + timedelta(minutes=60))
    story.clock.set(start + timedelta(minutes=80))
    await attendance.settle(story.ctx, booking.session_id)
    await drain(story.ctx)


async def test_troubles_and_their_ends_are_told_in_order(
    pool: Pool, clock: SteppedClock, settings: Settings
) -> None:
    story = await make_story(pool, clock, settings)
    root = await people.create_admin(story.ctx, "root@example.org", PASSWORD)
    ctx, mentor, mentee = story.ctx, story.mentor, story.mentee
    starts = [START + timedelta(days=day) for day in range(3)]
    bookings = [await story.session(start) for start in starts]
    last, sid = bookings[2], bookings[2].session_id

    def later(minutes: float) -> None:
        clock.set(starts[2] + timedelta(minutes=minutes))

    clock.step(timedelta(minutes=1))
    await sessions.reschedule(
        ctx, mentee.id, last.id, start=starts[2] + timedelta(hours=3), end=starts[2] + timedelta(hours=4),
        reason="dentist",
    )  # fmt: skip
    clock.step(timedelta(minutes=1))
    await sessions.reject(ctx, mentor.id, last.id, "not then")
    for booking, start in zip(bookings[:2], starts[:2], strict=True):
        await miss(story, booking, start)
    later(-240)
    await remind(ctx)
    later(-120)
    await sweep(ctx)
    await drain(ctx)
    later(-100)
    await confirmations.answer(ctx, mentee.id, sid, Answer.YES, "page")
    await drain(ctx)
    await attendance.switched(ctx, sid, mentor.id, "mentor", starts[2] + timedelta(minutes=2), True, False)
    await miss(story, last, starts[2])
    later(90)
    await conduct.appeal(ctx, mentee.id, "The page let\nnobody in.")
    later(100)
    review = await amending.ask(ctx, Principal(mentee.id, mentee.role), sid, "I was at the door.")
    later(110)
    await amending.amend(ctx, root.id, sid, Outcome.COMPLETED, "He was at the door.")
    await drain(ctx)
    later(120)
    said = await testimonials.write(ctx, mentee.id, sid, 5, "Patient, and to the point. " * 5)
    later(130)
    await testimonials.reject(ctx, root.id, sid, "Names somebody.", said.revision)
    later(140)
    said = await testimonials.write(ctx, mentee.id, sid, 5, "Patient.")
    later(150)
    await testimonials.publish(ctx, root.id, sid, said.revision)
    assert review.session_id == sid

    states = {"follow_up": ("delivered", None, 2), "reminder": ("lapsed", "overtaken", 0)}
    for kind, (status, error, attempts) in states.items():
        await pool.execute(
            "UPDATE notifications SET status = $2, error = $3, attempts = $4, delivered_at = CASE WHEN $2 = 'delivered'"
            " THEN $5::timestamptz END WHERE kind = $1 AND session_id = $6",
            kind, status, error, attempts, starts[2] + timedelta(hours=2), sid,
        )  # fmt: skip
    lines = await trace(ctx, sid)
    mails = ("mailed", "reminded", "told")
    assert [line.what for line in lines if line.what not in mails] == [
        "booked", "held", "approved", "proposed", "declined", "question", "unanswered", "answered",
        "joined", "media", "left", "settled", "accrued", "fee", "conduct", "conduct", "review", "amended", "conduct",
        "refused", "testimonial", "published",
    ]  # fmt: skip
    text = render(lines)
    who, clerk = "Jonas Weber (mentee)", "by an administrator"
    for told in (
        f"proposed     by {who}, 2026-03-06T13:00:00Z to 2026-03-06T14:00:00Z: dentist",
        "declined     by Asha Rao (mentor): not then",
        f"question     Asha Rao (mentor), {who}",
        f"answered     {who}: yes by page, late",
        "media        Asha Rao (mentor): microphone on, camera off",
        f"conduct      {who} restricted until 2026-03-20T11:20:00Z, 3 sessions counted",
        f"conduct      {who} appealed: “The page let nobody in.”",
        f"conduct      {who} lifted: “What was counted has been corrected.”",
        f"review       asked for by {who}: I was at the door.",
        f"amended      from mentee_no_show to completed {clerk}: He was at the door.",
        f"refused      the testimonial, {clerk}: Names somebody.",
        f"testimonial  5 of 5 stars by {who}: “Patient.” [published]",
        f"published    the testimonial, {clerk}",
    ):
        assert told in text
    assert (
        "confirmation_missing to root@example.org (admin): No answer: Jonas Weber with Asha Rao, 10:00 [pending]"
        in text
    )
    reminded = [line.detail for line in lines if line.what == "reminded"]
    assert reminded and all(detail.endswith("[lapsed: overtaken]") for detail in reminded)
    followed = [line.detail for line in lines if line.detail.startswith("follow_up")]
    assert followed and all(detail.endswith("[delivered 2026-03-06T12:00:00Z]") for detail in followed)
