"""Which fact makes what happen: one table, and the reactions it names.

A reaction only writes to the database, in the transaction it is given, so that it happens exactly once; what has to
leave the house it writes as a message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from jobs import reminders
from jobs.after import (
    follow_up,
    review_no_shows,
    tell_amended,
    tell_conduct,
    tell_not_published,
    tell_published,
    tell_upheld,
)
from jobs.confirmations import tell_late_answer, tell_unanswered
from jobs.meetings import BOTH, load_meeting, load_person
from jobs.replies import hear_reply
from server.attendance.model import (
    MediaSwitched,
    NoShowSuspected,
    PersonJoined,
    PersonLeft,
    ReviewAsked,
    ReviewUpheld,
    SessionSettled,
    VerdictAmended,
)
from server.base.context import Context
from server.base.db import Conn
from server.base.facts import decode
from server.base.store import StoredFact
from server.booking.model import (
    BookingApproved,
    BookingCancelled,
    BookingExpired,
    BookingRejected,
    BookingRequested,
    BookingRescheduled,
    HoldLapsed,
    MoveAsked,
    MoveDeclined,
    MoveProposed,
    Status,
    TokensHeld,
    TokensReleased,
)
from server.calendars import actions as calendars
from server.calendars.model import SERVICE_NAMES, CalendarBroken
from server.conduct.model import ConductStepTaken
from server.confirmations.model import ConfirmationAnswered, ConfirmationAsked, ConfirmationMissing
from server.journey.model import JourneyReported
from server.meetinglog import actions as meetinglog
from server.merging.model import SessionsMerged, SessionsUnmerged
from server.notifications import actions as notifications
from server.notifications.calendar import Method
from server.notifications.model import Kind, ReplyReceived
from server.payroll.model import PayslipIssued
from server.people import store as people
from server.people.model import Role
from server.sessions import rooms
from server.sessions.model import SessionCancelled, SessionMoved, SessionPublished
from server.testimonials.model import TestimonialPublished, TestimonialRejected
from server.waitlist import actions as waitlist
from server.waitlist.model import SlotOffered

Reaction: TypeAlias = Callable[[Conn, Context, StoredFact], Awaitable[None]]


async def ask_mentor(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The mentor learns that somebody wants to meet her, unless that is settled already."""
    requested = decode(BookingRequested, fact.data)
    if (meeting := await load_meeting(conn, ctx, requested.session_id)).status is Status.REQUESTED:
        await meeting.tell(conn, ctx, ("mentor",), Kind.BOOKING_REQUESTED, f"fact:{fact.id}")


async def invite_both(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both get the confirmation with an invitation, unless the approval has been overtaken by a cancellation."""
    approved = decode(BookingApproved, fact.data)
    meeting = await load_meeting(conn, ctx, approved.session_id)
    if meeting.status in (Status.APPROVED, Status.HELD):
        await meeting.tell(conn, ctx, BOTH, Kind.BOOKING_APPROVED, f"fact:{fact.id}", method=Method.REQUEST)


async def tell_rejected(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    rejected = decode(BookingRejected, fact.data)
    meeting = await load_meeting(conn, ctx, rejected.session_id, reason=rejected.reason)
    await meeting.tell(conn, ctx, ("mentee",), Kind.BOOKING_REJECTED, f"fact:{fact.id}")


async def tell_moved(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both learn the new time; calendars that knew the old one get an update (tentative until it is approved)."""
    moved = decode(BookingRescheduled, fact.data)
    meeting = await load_meeting(conn, ctx, moved.session_id, reason=moved.reason)
    if meeting.status not in (Status.REJECTED, Status.CANCELLED):
        method = Method.REQUEST if moved.was_approved else None
        await meeting.tell(conn, ctx, BOTH, Kind.BOOKING_RESCHEDULED, f"fact:{fact.id}", method=method)


async def tell_proposed(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The other side is asked, unless that is settled already."""
    proposed = decode(MoveProposed, fact.data)
    meeting = await load_meeting(conn, ctx, proposed.session_id, reason=proposed.reason)
    if meeting.status not in (Status.REQUESTED, Status.APPROVED) or meeting.booking.proposal is None:
        return
    asked = "mentee" if proposed.proposed_by == proposed.mentor_id else "mentor"
    values = {
        "proposed_start": proposed.start,
        "proposed_end": proposed.end,
        "answer_by": proposed.expires_at,
    }
    await meeting.tell(
        conn,
        ctx,
        (asked,),
        Kind.MOVE_PROPOSED,
        f"fact:{fact.id}",
        values=values,
        expires_at=proposed.expires_at,
    )


async def tell_asked(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both sides are asked to agree on another time, unless it was called off or moved meanwhile."""
    asked = decode(MoveAsked, fact.data)
    meeting = await load_meeting(conn, ctx, asked.session_id, reason=asked.reason)
    if meeting.status in (Status.REQUESTED, Status.APPROVED) and meeting.occasion.start == asked.start:
        await meeting.tell(conn, ctx, BOTH, Kind.MOVE_ASKED, f"fact:{fact.id}")


async def tell_declined(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Who proposed another time learns that the old one stands; who took it back knows."""
    declined = decode(MoveDeclined, fact.data)
    if declined.declined_by == declined.proposed_by:
        return
    meeting = await load_meeting(conn, ctx, declined.session_id, reason=declined.reason)
    if meeting.status not in (Status.REQUESTED, Status.APPROVED):
        return
    asker = "mentor" if declined.proposed_by == declined.mentor_id else "mentee"
    values = {
        "proposed_start": declined.proposed_start,
        "proposed_end": declined.proposed_end,
        "answered": declined.declined_by is not None,
    }
    await meeting.tell(conn, ctx, (asker,), Kind.MOVE_DECLINED, f"fact:{fact.id}", values=values)


async def tell_expired(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Both learn that the request has run out; the mentee that his tokens are back."""
    expired = decode(BookingExpired, fact.data)
    meeting = await load_meeting(conn, ctx, expired.session_id)
    await meeting.tell(conn, ctx, BOTH, Kind.BOOKING_EXPIRED, f"fact:{fact.id}")


async def offer_freed(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """A time of the mentor's is free again: the first in line is offered it."""
    data, now = fact.data, ctx.clock.now()
    mentor_id = UUID(data["mentor_id"])
    moved = fact.kind == BookingRescheduled.KIND
    start, end = (
        datetime.fromisoformat(data[name])
        for name in (("old_start", "old_end") if moved else ("start", "end"))
    )
    if start > now:
        await waitlist.offer_in(conn, mentor_id, start, end, now)


async def pass_on(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """An offer that was not taken goes to the next in line."""
    lapsed = decode(HoldLapsed, fact.data)
    await waitlist.passed_in(conn, lapsed.booking_id, ctx.clock.now())
    await offer_freed(conn, ctx, fact)


async def take_offer(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    requested = decode(BookingRequested, fact.data)
    await waitlist.taken_in(conn, requested.booking_id, ctx.clock.now())


async def tell_offered(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The first in line learns of the time, unless it has been answered or has run out already."""
    offered = decode(SlotOffered, fact.data)
    meeting = await load_meeting(conn, ctx, offered.session_id)
    if meeting.status is Status.HOLD:
        values = {"answer_by": offered.expires_at}
        await meeting.tell(
            conn, ctx, ("mentee",), Kind.SLOT_OFFERED, f"fact:{fact.id}", values=values,
            expires_at=offered.expires_at,
        )  # fmt: skip


async def tell_cancelled(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    cancelled = decode(BookingCancelled, fact.data)
    meeting = await load_meeting(conn, ctx, cancelled.session_id, reason=cancelled.reason)
    method = Method.CANCEL if cancelled.was_approved else None
    await meeting.tell(conn, ctx, BOTH, Kind.BOOKING_CANCELLED, f"fact:{fact.id}", method=method)


async def plan_reminders(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """A session was agreed, moved or cancelled: what it is to be reminded of changes with it."""
    if fact.session_id is not None:
        await reminders.plan_in(conn, ctx, fact.session_id)


async def nudge_absent(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Who has not come is written to, once for each step; a mentor once for all who wait in one room."""
    suspected = decode(NoShowSuspected, fact.data)
    meeting = await load_meeting(conn, ctx, suspected.session_id)
    role = "mentor" if suspected.absent_id == meeting.people["mentor"].id else "mentee"
    about = suspected.session_id
    if role == "mentor":
        about = (await rooms.room_in(conn, suspected.session_id)).id
    await meeting.tell(
        conn, ctx, (role,), Kind.NO_SHOW_NUDGE, f"{about}:{suspected.minutes}",
        template=f"{Kind.NO_SHOW_NUDGE}_{suspected.minutes}",
        values={"waiting": suspected.waiting_id is not None},
    )  # fmt: skip


async def send_payslip(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    issued = decode(PayslipIssued, fact.data)
    mentor = await load_person(conn, issued.mentor_id)
    # The period ends at midnight in the business zone, and the letter names its days as that zone counts them.
    zone = ZoneInfo(str(ctx.settings.timezone))
    url = f"{ctx.settings.public_url}/payslips"
    values = {
        "name": mentor.name,
        "label": issued.label,
        "period_start": issued.period_start,
        "period_end": issued.period_end,
        "total_tokens": issued.total_tokens,
        "session_count": issued.session_count,
        "url": url,
    }
    await notifications.notify_in(
        conn, ctx, kind=Kind.PAYSLIP, recipient=mentor, role="mentor", dedup_key=f"payslip:{issued.payslip_id}",
        values=values, link=url, zone=zone,
    )  # fmt: skip


async def write_calendars(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Note in both people's connected calendars how the session stands now; a worker writes it there."""
    assert fact.session_id is not None  # noqa: S101 - bookings have one
    await calendars.want_in(conn, fact.session_id, ctx.clock.now())


async def tell_broken(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Whose calendar we may no longer see is told once, and how to connect it again."""
    broken = decode(CalendarBroken, fact.data)
    owner = await load_person(conn, broken.user_id)
    url = f"{ctx.settings.public_url}/settings#calendars"
    values = {
        "name": owner.name,
        "service": SERVICE_NAMES[broken.provider],
        "account": broken.account,
        "url": url,
    }
    await notifications.notify_in(
        conn, ctx, kind=Kind.CALENDAR_BROKEN, recipient=owner,
        role="mentor" if owner.role is Role.MENTOR else "mentee",
        dedup_key=f"fact:{fact.id}", values=values, link=url,
    )  # fmt: skip


async def tell_journey(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """Every administrator learns that a month's report is written, and where it is."""
    reported = decode(JourneyReported, fact.data)
    label = f"{reported.month:%Y-%m}"
    url = f"{ctx.settings.public_url}/admin/journey?month={label}"
    for admin in await people.administrators(conn):
        values = {
            "name": admin.name, "label": label, "mentees": reported.mentees, "booked": reported.booked,
            "held": reported.held, "missed": reported.missed, "url": url,
        }  # fmt: skip
        await notifications.notify_in(
            conn, ctx, kind=Kind.JOURNEY, recipient=admin, role="admin", dedup_key=f"journey:{label}", values=values,
            link=url,
        )  # fmt: skip


async def log_event(conn: Conn, ctx: Context, fact: StoredFact) -> None:
    """The meeting log is a projection of these facts."""
    await meetinglog.write_in(conn, fact)


# Fact -> what it makes happen. A fact without reactions is here too: it is part of the story, and nothing else.
REACTIONS: Mapping[str, tuple[Reaction, ...]] = {
    BookingRequested.KIND: (ask_mentor, take_offer),
    TokensHeld.KIND: (),
    BookingApproved.KIND: (invite_both, write_calendars),
    BookingRejected.KIND: (tell_rejected, offer_freed),
    BookingRescheduled.KIND: (tell_moved, write_calendars, offer_freed),
    BookingCancelled.KIND: (tell_cancelled, write_calendars, offer_freed),
    BookingExpired.KIND: (tell_expired, offer_freed),
    HoldLapsed.KIND: (pass_on,),
    SlotOffered.KIND: (tell_offered,),
    MoveProposed.KIND: (tell_proposed,),
    MoveDeclined.KIND: (tell_declined,),
    MoveAsked.KIND: (tell_asked,),
    TokensReleased.KIND: (),
    SessionPublished.KIND: (plan_reminders,),
    SessionMoved.KIND: (plan_reminders,),
    SessionCancelled.KIND: (plan_reminders,),
    SessionsMerged.KIND: (log_event, write_calendars),
    SessionsUnmerged.KIND: (log_event, write_calendars),
    PersonJoined.KIND: (log_event,),
    MediaSwitched.KIND: (log_event,),
    PersonLeft.KIND: (log_event,),
    NoShowSuspected.KIND: (log_event, nudge_absent),
    # The review comes first: whom it restricts is not offered another time.
    SessionSettled.KIND: (log_event, review_no_shows, follow_up),
    ConductStepTaken.KIND: (tell_conduct,),
    VerdictAmended.KIND: (log_event, review_no_shows, tell_amended),
    ReviewAsked.KIND: (log_event,),
    ReviewUpheld.KIND: (log_event, tell_upheld),
    TestimonialPublished.KIND: (tell_published,),
    TestimonialRejected.KIND: (tell_not_published,),
    PayslipIssued.KIND: (send_payslip,),
    CalendarBroken.KIND: (tell_broken,),
    JourneyReported.KIND: (tell_journey,),
    ConfirmationAsked.KIND: (),
    ConfirmationAnswered.KIND: (tell_late_answer,),
    ConfirmationMissing.KIND: (tell_unanswered,),
    ReplyReceived.KIND: (hear_reply,),
}
