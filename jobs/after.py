"""What follows a session: the letters that fit its outcome, what repeated no-shows bring, and what is told of both that
and testimonials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from jobs.meetings import BOTH, Meeting, load_meeting
from server.attendance.model import ReviewUpheld, SessionSettled, VerdictAmended
from server.base.context import Context
from server.base.db import Conn
from server.base.facts import decode
from server.base.store import StoredFact
from server.conduct import actions as conduct_actions
from server.conduct import store as conduct
from server.conduct.model import RULES, ConductStepTaken
from server.notifications.model import Kind
from server.sessions import rebooking
from server.sessions.links import rebook_link
from server.sessions.model import Outcome
from server.testimonials import actions as testimonials
from server.testimonials.model import Status as Written
from server.testimonials.model import TestimonialPublished, TestimonialRejected


async def follow_up(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both get a letter that fits the outcome, once per session."""
    settled = decode(SessionSettled, fact.data)
    money = (settled.earning, settled.fee, settled.released)
    await follow_up_in(conn, ctx, settled.session_id, settled.outcome, *money)


async def follow_up_in(
    conn: Conn, ctx: Context, session_id: UUID, outcome: Outcome, earning: int, fee: int, released: int
) -> None:
    """The letters about an outcome: for the first verdict, and for any it is amended to. Each outcome of a session is
    told once, so a verdict that comes back after an amendment is not told again."""
    meeting = await load_meeting(conn, ctx, session_id)
    values = {
        "earning": earning,
        "fee": fee,
        "paid": earning + fee,
        "released": released,
        "mentor_url": mentor_url(ctx, meeting),
        **await _another_time(conn, ctx, meeting, outcome),
        "testimonial_url": await _testimonial_url(conn, ctx, meeting) if outcome is Outcome.COMPLETED else "",
    }
    await meeting.tell(
        conn, ctx, BOTH, Kind.FOLLOW_UP, f"{session_id}:{outcome}", template=f"{Kind.FOLLOW_UP}_{outcome}",
        values=values,
    )  # fmt: skip


async def _another_time(conn: Conn, ctx: Context, meeting: Meeting, outcome: Outcome) -> Mapping[str, Any]:
    """For a missed session: the link that books another time, and the same with a time chosen already."""
    restricted = await conduct.restricted(conn, [meeting.booking.mentee_id], ctx.clock.now())
    if outcome is Outcome.COMPLETED or restricted:
        return {"rebook_url": "", "slots": ()}
    missed, now = meeting.booking, ctx.clock.now()
    url = rebook_link(ctx.settings, missed, now)
    slots = [
        {"start": span.start, "end": span.end, "url": f"{url}?at={int(span.start.timestamp())}"}
        for span in await rebooking.offers_in(conn, missed, now)
    ]
    return {"rebook_url": url, "slots": slots}


async def review_no_shows(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """A verdict has fallen: what follows for who did not come. Of a verdict that was amended, for either side."""
    concerned = [UUID(fact.data["mentor_id"]), UUID(fact.data["mentee_id"])]
    if fact.kind == SessionSettled.KIND:
        absent = {Outcome.MENTOR_NO_SHOW: concerned[:1], Outcome.MENTEE_NO_SHOW: concerned[1:]}
        concerned = absent.get(Outcome(fact.data["outcome"]), [])
    for person_id in sorted(concerned):
        await conduct_actions.review_in(conn, person_id, ctx.clock.now())


async def tell_conduct(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Whoever was warned, restricted, set free, heard or answered gets a letter about it."""
    taken = decode(ConductStepTaken, fact.data)
    step = await conduct_actions.step_in(conn, taken.step_id)
    of = step if step.about is None else await conduct_actions.step_in(conn, step.about)
    strictest = RULES[-1]
    meeting = await load_meeting(conn, ctx, step.session_id)
    role = "mentor" if step.person_id == meeting.booking.mentor_id else "mentee"
    values = {
        "number": len(of.sessions),
        "limit": strictest.number,
        "within_days": strictest.within.days,
        "lasts_days": 0 if strictest.lasts is None else strictest.lasts.days,
        "until": of.until,
        "words": step.words,
        "standing_url": f"{ctx.settings.public_url}/standing",
    }
    await meeting.tell(conn, ctx, (role,), Kind(f"conduct_{step.kind}"), f"conduct:{step.id}", values=values)


async def tell_amended(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both learn what the verdict was, what it is now, and why."""
    amended = decode(VerdictAmended, fact.data)
    meeting = await load_meeting(conn, ctx, amended.session_id)
    values = {
        "before": amended.before.value,
        "outcome": amended.outcome.value,
        "amended_reason": amended.reason,
        "earning": amended.earning,
        "fee": amended.fee,
        "released": amended.released,
        "testimonial_url": await _testimonial_url(conn, ctx, meeting)
        if amended.outcome is Outcome.COMPLETED
        else "",
    }
    await meeting.tell(
        conn, ctx, BOTH, Kind.FOLLOW_UP, f"fact:{fact.id}", template="verdict_amended", values=values
    )


async def tell_upheld(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Who asked for a review learns that the verdict stands, and why."""
    upheld = decode(ReviewUpheld, fact.data)
    meeting = await load_meeting(conn, ctx, upheld.session_id)
    role = "mentor" if upheld.asked_by == meeting.people["mentor"].id else "mentee"
    await meeting.tell(
        conn, ctx, (role,), Kind.FOLLOW_UP, f"fact:{fact.id}", template="review_upheld",
        values={"review_note": upheld.note},
    )  # fmt: skip


def mentor_url(ctx: Context, meeting: Meeting) -> str:
    return f"{ctx.settings.public_url}/mentors/{meeting.booking.mentor_id}"


async def _testimonial_url(conn: Conn, ctx: Context, meeting: Meeting) -> str:
    """Where the mentee says how it was; empty when he has said it already."""
    of = meeting.booking
    if await testimonials.status_in(conn, of.session_id) is not None:
        return ""
    return testimonials.link_for(ctx.settings, of.session_id, of.mentee_id, ctx.clock.now())


async def tell_published(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both learn that it can be read, once per session, unless the decision was taken back already."""
    published = decode(TestimonialPublished, fact.data)
    if await testimonials.status_in(conn, published.session_id) is Written.PUBLISHED:
        meeting = await load_meeting(conn, ctx, published.session_id)
        await meeting.tell(
            conn, ctx, BOTH, Kind.TESTIMONIAL_PUBLISHED, str(published.session_id),
            values={"mentor_url": mentor_url(ctx, meeting)},
        )  # fmt: skip


async def tell_not_published(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The author learns why, unless the decision was taken back already."""
    rejected = decode(TestimonialRejected, fact.data)
    if await testimonials.status_in(conn, rejected.session_id) is Written.REJECTED:
        meeting = await load_meeting(conn, ctx, rejected.session_id, reason=rejected.reason)
        url = testimonials.link_for(ctx.settings, rejected.session_id, rejected.mentee_id, ctx.clock.now())
        await meeting.tell(
            conn, ctx, ("mentee",), Kind.TESTIMONIAL_REJECTED, f"{rejected.session_id}:{rejected.revision}",
            values={"testimonial_url": url},
        )  # fmt: skip
