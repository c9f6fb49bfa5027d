"""Tell the story of a session."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.attendance import store as attendance
from server.attendance.model import (
    MediaSwitched,
    NoShowSuspected,
    ReviewAsked,
    ReviewUpheld,
    SessionSettled,
    VerdictAmended,
    switched_words,
)
from server.base import store as outbox
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import NotFound
from server.base.store import StoredFact
from server.booking.model import (
    BookingApproved,
    BookingCancelled,
    BookingExpired,
    BookingRejected,
    BookingRequested,
    BookingRescheduled,
    MoveAsked,
    MoveDeclined,
    MoveProposed,
)
from server.confirmations.model import ConfirmationAnswered, ConfirmationAsked, ConfirmationMissing
from server.merging.model import SessionsMerged, SessionsUnmerged
from server.notifications.model import EMAIL, Kind, Status
from server.testimonials.model import TestimonialPublished, TestimonialRejected
from server.trace import store
from server.trace.model import (
    FACTS,
    TRANSFERS,
    Line,
    People,
    brief,
    in_order,
    instant,
    outage_lines,
    presence_lines,
)
from server.trace.store import Mailed, Taken

LATE = frozenset(
    {Kind.FOLLOW_UP, Kind.NO_SHOW_NUDGE, Kind.BOOKING_CANCELLED, Kind.BOOKING_REJECTED, Kind.BOOKING_EXPIRED}
    | {Kind.CONFIRMATION_MISSING, Kind.CONFIRMATION_AMENDED, Kind.MOVE_DECLINED}
    | {kind for kind in Kind if kind.startswith(("conduct_", "testimonial_"))}
)  # letters about what happened a moment before


async def story(ctx: Context, session_id: UUID) -> list[Line]:
    """Everything that happened around the session, in order. Raises ``NotFound("session_not_found")``."""
    async with (
        ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),  # one story, not six snapshots
    ):
        people = await store.people(conn, session_id)
        if people is None:
            raise NotFound("session_not_found", "There is no such session.")
        facts = await outbox.of_session(conn, session_id)
        moved = await store.transfers(conn, session_id)
        mailed = await store.notifications(conn, session_id)
        presences = await attendance.of_session(conn, session_id)
        paid = await store.payslip_lines(conn, session_id)
        span = await store.span(conn, session_id)
        taken = await store.conduct_steps(conn, session_id)
        written = await store.testimonial(conn, session_id)
        wrote = await store.replies(conn, session_id)
        outages = [] if span is None else await attendance.outages_between(conn, *span)
    lines = outage_lines(outages)
    lines += [Line(f.at, FACTS[f.kind], _of_fact(f, people)) for f in facts if f.kind in FACTS]
    lines += [Line(m.at, TRANSFERS[m.kind], f"{m.amount} tokens") for m in moved if m.kind in TRANSFERS]
    lines += [_of_mail(m) for m in mailed]
    lines += [Line(r.at, "wrote", f"{r.sender} by {r.channel}: {r.result}") for r in wrote]
    lines += [_of_step(step, people) for step in taken]
    if written is not None:
        said = f"{written.stars} of 5 stars by {people.name(people.mentee_id)}: {brief(written.text)}"
        lines.append(Line(written.at, "testimonial", f"{said} [{written.status}]"))
    lines += presence_lines(people, presences)
    lines += [
        Line(p.at, "paid", f"{p.amount} tokens on payslip {p.label} of {people.name(p.mentor_id)}")
        for p in paid
    ]
    return in_order(lines)


def _of_fact(fact: StoredFact, people: People) -> str:
    data = fact.data
    match fact.kind:
        case BookingRequested.KIND:
            names = f"{people.name(data['mentee_id'])} with {people.name(data['mentor_id'])}"
            return f"{names}, {_span(data)}, {data['price_tokens']} tokens"
        case BookingApproved.KIND:
            return f"by {people.name(data['mentor_id'])}"
        case BookingRescheduled.KIND:
            return f"by {people.name(data['moved_by'])} to {_span(data)}: {data['reason']}"
        case SessionsMerged.KIND:
            return f"into the room of {data['room_id']}, {_span(data)}: {data['reason']}"
        case SessionsUnmerged.KIND:
            return f"from the room of {data['room_id']}, {_span(data)}: {data['reason']}"
        case MoveAsked.KIND:
            return f"to agree on another time: {data['reason']}"
        case MoveProposed.KIND:
            return f"by {people.name(data['proposed_by'])}, {_span(data)}: {data['reason']}"
        case MoveDeclined.KIND:
            by = (
                f"by {people.name(data['declined_by'])}" if data["declined_by"] else "nobody answered in time"
            )
            return f"{by}: {data['reason']}" if data["reason"] else by
        case BookingExpired.KIND:
            return "nobody answered in time"
        case BookingRejected.KIND:
            return f"by {people.name(data['mentor_id'])}: {data['reason']}"
        case BookingCancelled.KIND:
            return f"by {people.name(data['cancelled_by'])}: {data['reason']}"
        case NoShowSuspected.KIND:
            waits = f", while {people.name(data['waiting_id'])} waits" if data["waiting_id"] else ""
            return f"{people.name(data['absent_id'])} after {data.get('minutes', 10)} minutes{waits}"
        case ConfirmationAnswered.KIND:
            before = f", before: {data['previous']}" if data["previous"] else ""
            late = ", late" if data["late"] else ""
            return f"{people.name(data['user_id'])}: {data['answer']} by {data['channel']}{before}{late}"
        case MediaSwitched.KIND:
            return f"{people.name(data['user_id'])}: {switched_words(data['microphone'], data['camera'])}"
        case ConfirmationAsked.KIND | ConfirmationMissing.KIND:
            return ", ".join(people.name(user) for user in data["users"])
        case SessionSettled.KIND:
            money = f"earning {data['earning']}, fee {data['fee']}, released {data['released']}"
            return f"{data['outcome']} ({money})"
        case VerdictAmended.KIND:
            money = f"earning {data['earning']}, fee {data['fee']}, released {data['released']}"
            return (
                f"from {data['before']} to {data['outcome']} by an administrator: {data['reason']} ({money})"
            )
        case ReviewAsked.KIND:
            return f"asked for by {people.name(data['asked_by'])}: {data['reason']}"
        case ReviewUpheld.KIND:
            return f"by an administrator: {data['note']}"
        case TestimonialPublished.KIND:
            return "the testimonial, by an administrator"
        case TestimonialRejected.KIND:
            return f"the testimonial, by an administrator: {data['reason']}"
        case _:
            return ""


def _span(data: dict[str, str]) -> str:
    start, end = datetime.fromisoformat(data["start"]), datetime.fromisoformat(data["end"])
    return f"{instant(start)} to {instant(end)}"


def _of_step(step: Taken, people: People) -> Line:
    """What repeated no-shows brought, of which this session was the last, and what was said of it."""
    until = f" until {instant(step.until)}" if step.until is not None else ""
    counted = f", {step.counted} sessions counted" if step.counted else ""
    by = " by an administrator" if step.by_somebody and step.kind != "appealed" else ""
    words = f": {brief(step.words)}" if step.words else ""
    what = step.kind.replace("_", " ")
    return Line(step.at, "conduct", f"{people.name(step.person_id)} {what}{until}{counted}{by}{words}")


def _of_mail(mail: Mailed) -> Line:
    what = "told" if mail.channel != EMAIL else "reminded" if mail.kind == Kind.REMINDER else "mailed"
    to = mail.address if mail.channel == EMAIL else f"{mail.channel} {mail.address}".strip()
    return Line(
        mail.at,
        what,
        f"{mail.kind} to {to} ({mail.role}): {mail.subject} [{_state(mail)}]",
        mail.kind in LATE,
    )


def _state(mail: Mailed) -> str:
    """``delivered 2026-03-03T06:00:05Z``, ``retrying after 2 attempts: 451 Try again``, ``lapsed: too late``"""
    match mail.status:
        case Status.DELIVERED if mail.delivered_at is not None:
            return f"delivered {instant(mail.delivered_at)}"
        case Status.PENDING | Status.SENT | Status.DELIVERED:
            return mail.status
    tries = f" after {mail.attempts} attempt{'' if mail.attempts == 1 else 's'}" if mail.attempts else ""
    return f"{mail.status}{tries}" + (f": {mail.error}" if mail.error else "")
