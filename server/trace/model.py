"""The lines of a session's story, their order, and how they look on a terminal; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from server.attendance.model import (
    MediaSwitched,
    NoShowSuspected,
    Outage,
    Presence,
    ReviewAsked,
    ReviewUpheld,
    SessionSettled,
    VerdictAmended,
    attendance_of,
)
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
from server.ledger.model import TransferKind
from server.merging.model import SessionsMerged, SessionsUnmerged
from server.testimonials.model import TestimonialPublished, TestimonialRejected

QUOTED: Final = 80  # characters of what somebody wrote

# What can be told, in the order of a story whose lines share an instant.
ORDER: Final = (
    "booked", "held", "proposed", "declined", "rescheduled", "merged", "unmerged", "asked", "approved", "rejected",
    "expired", "cancelled", "question", "mailed", "reminded", "wrote", "answered", "unanswered",
    "told", "outage", "joined", "media", "missed", "left", "settled", "review", "amended", "upheld",
    "reversed", "accrued", "fee", "released", "conduct", "testimonial", "published", "refused", "paid",
)  # fmt: skip

FACTS: Final = {
    BookingRequested.KIND: "booked",
    MoveProposed.KIND: "proposed",
    MoveDeclined.KIND: "declined",
    BookingRescheduled.KIND: "rescheduled",
    SessionsMerged.KIND: "merged",
    SessionsUnmerged.KIND: "unmerged",
    MoveAsked.KIND: "asked",
    BookingApproved.KIND: "approved",
    BookingRejected.KIND: "rejected",
    BookingExpired.KIND: "expired",
    BookingCancelled.KIND: "cancelled",
    MediaSwitched.KIND: "media",
    NoShowSuspected.KIND: "missed",
    SessionSettled.KIND: "settled",
    ConfirmationAsked.KIND: "question",
    ConfirmationAnswered.KIND: "answered",
    ConfirmationMissing.KIND: "unanswered",
    ReviewAsked.KIND: "review",
    VerdictAmended.KIND: "amended",
    ReviewUpheld.KIND: "upheld",
    TestimonialPublished.KIND: "published",
    TestimonialRejected.KIND: "refused",
}
TRANSFERS: Final[Mapping[str, str]] = {
    TransferKind.HOLD: "held",
    TransferKind.RELEASE: "released",
    TransferKind.EARNING: "accrued",
    TransferKind.FEE: "fee",
    TransferKind.REVERSAL: "reversed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """``late`` puts a line behind what happened in the same instant: a letter follows what it is about."""

    at: datetime
    what: str
    detail: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """Who the story is about."""

    mentor_id: UUID
    mentor_name: str
    mentee_id: UUID
    mentee_name: str

    def name(self, user_id: UUID | str) -> str:
        """``Asha Rao (mentor)``"""
        match str(user_id):
            case mentor if mentor == str(self.mentor_id):
                return f"{self.mentor_name} (mentor)"
            case mentee if mentee == str(self.mentee_id):
                return f"{self.mentee_name} (mentee)"
            case other:
                return other


def in_order(lines: Iterable[Line]) -> list[Line]:
    """By time; what happened in one instant (one transaction) in the order in which it makes sense."""
    return sorted(lines, key=lambda line: (line.at, line.late, ORDER.index(line.what)))


def presence_lines(people: People, presences: Sequence[Presence]) -> list[Line]:
    """Coming and going of people, not of their tabs."""
    lines = []
    for user_id, role in ((people.mentor_id, "mentor"), (people.mentee_id, "mentee")):
        own = [p for p in presences if p.user_id == user_id]
        seen = attendance_of(user_id, role, own)
        for interval in seen.intervals:
            lines.append(Line(interval.start, "joined", people.name(user_id)))
            still_here = any(p.left_at is None and p.interval.end == interval.end for p in own)
            if not still_here:
                seconds = interval.length.total_seconds()
                reasons = sorted({p.left_reason or "" for p in own if p.left_at == interval.end})
                detail = f"{people.name(user_id)} after {seconds:.0f} s: {', '.join(reasons)}"
                lines.append(Line(interval.end, "left", detail))
    return lines


def outage_lines(outages: Sequence[Outage]) -> list[Line]:
    """When we were away ourselves, around the session."""
    lines = []
    for outage in outages:
        until = instant(outage.ended_at) if outage.ended_at else "now"
        detail = f"{outage.cause.value} until {until}" + (f": {outage.note}" if outage.note else "")
        lines.append(Line(outage.began_at, "outage", detail))
    return lines


def brief(text: str) -> str:
    """What somebody wrote, on one line that a terminal has room for."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= QUOTED else line[: QUOTED - 1] + '…'}”"


def instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def render(lines: Sequence[Line]) -> str:
    """One line each: when (UTC), what, and the details."""
    width = max((len(line.what) for line in lines), default=0)
    return "\n".join(f"{instant(line.at)}  {line.what:{width}}  {line.detail}".rstrip() for line in lines)
