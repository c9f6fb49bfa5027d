"""Tell the story of a session."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.attendance import store as attendance
from server.attendance.model import NoShowSuspected, ReviewAsked, ReviewUpheld, SessionSettled, VerdictAmended
from server.base import store as outbox
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import NotFound
from server.base.store import StoredFact
from server.booking.model import (
    BookingApproved,
    BookingCancelled,
    BookingRejected,
    BookingRequested,
    BookingRescheduled,
    MoveAsked,
)
from server.confirmations.model import ConfirmationAnswered, ConfirmationMissing
from server.merging.model import SessionsMerged, SessionsUnmerged
from server.notifications.model import EMAIL, Kind
from server.trace import store
from server.trace.model import (
    FACTS,
    TRANSFERS,
    Line,
    People,
    in_order,
    instant,
    outage_lines,
    presence_lines,
)
from server.trace.store import Mailed

LATE = frozenset(
    {Kind.FOLLOW_UP, Kind.NO_SHOW_NUDGE, Kind.BOOKING_CANCELLED, Kind.BOOKING_REJECTED}
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
        outages = [] if span is None else await attendance.outages_between(conn, *span)
    lines = outage_lines(outages)
    lines += [Line(f.at, FACTS[f.kind], _of_fact(f, people)) for f in facts if f.kind in FACTS]
    lines += [Line(m.at, TRANSFERS[m.kind], f"{m.amount} tokens") for m in moved if m.kind in TRANSFERS]
    lines += [_of_mail(m) for m in mailed]
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
        case ConfirmationMissing.KIND:
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
        case _:
            return ""


def _span(data: dict[str, str]) -> str:
    start, end = datetime.fromisoformat(data["start"]), datetime.fromisoformat(data["end"])
    return f"{instant(start)} to {instant(end)}"


def _of_mail(mail: Mailed) -> Line:
    what = "told" if mail.channel != EMAIL else "reminded" if mail.kind == Kind.REMINDER else "mailed"
    to = mail.address if mail.channel == EMAIL else f"{mail.channel} {mail.address}".strip()
    state = "" if mail.status in ("sent", "delivered") else f" [{mail.status} after {mail.attempts} attempts]"
    return Line(
        mail.at,
        what,
        f"{mail.kind} to {to} ({mail.role}): {mail.subject}{state}",
        mail.kind in LATE,
    )
