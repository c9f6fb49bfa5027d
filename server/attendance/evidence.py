"""What is known about who was there in a session: each side's presence and visits, and our outages around it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server.attendance import store, verdict
from server.attendance.intervals import Interval, total, union, without
from server.attendance.model import ORPHAN_AFTER, Outage, PersonAttendance, Presence, attendance_of
from server.attendance.store import OpenSession
from server.attendance.verdict import RULES, Finding, finding
from server.base.db import Conn
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two people of a session; others may be in the room, too, whose sessions meet there."""

    user_id: UUID
    role: str
    presences: tuple[Presence, ...]
    visits: tuple[Interval, ...]  # open sockets, with or without media

    @property
    def present(self) -> list[Interval]:
        return [p.interval for p in self.presences]

    @property
    def seen(self) -> PersonAttendance:
        return attendance_of(self.user_id, self.role, self.presences)

    @property
    def waiting(self) -> tuple[Interval, ...]:
        """The socket was open and nothing of the person's media was seen."""
        return without(self.visits, self.present)

    @property
    def finding(self) -> Finding:
        return finding(self.present, self.seen.media_seconds, self.waiting)

    def here(self, now: datetime | None = None) -> bool:
        """In the room: an interval that is not closed, and (with ``now``) whose process is not silent."""
        return any(
            p.left_at is None and (now is None or p.last_seen_at > now - ORPHAN_AFTER) for p in self.presences
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    start: datetime
    end: datetime
    mentor: Side
    mentee: Side
    outages: tuple[Outage, ...]
    now: datetime

    @property
    def away(self) -> tuple[Interval, ...]:
        """Our outages, each by itself; one that goes on lasts until now."""
        return tuple(outage.interval(self.now) for outage in self.outages)

    def decide(self) -> Outcome:
        return verdict.decide(self.start, self.end, self.mentor.present, self.mentee.present, self.away)

    def why(self, outcome: Outcome) -> str:
        felt = [o for o in self.away if o.start < self.end and o.end + RULES.recovery > self.start]
        return verdict.why(outcome, self.mentor.finding, self.mentee.finding, felt)

    def inputs(self) -> dict[str, Any]:
        """What the audit keeps: instants as RFC 3339, durations in seconds."""
        return {
            "start": _instant(self.start),
            "end": _instant(self.end),
            **{side.role: _side(side) for side in (self.mentor, self.mentee)},
            "together_seconds": verdict.together(
                self.start, self.end, self.mentor.present, self.mentee.present
            ).total_seconds(),
            "outages": [{**_span(o.interval(self.now)), "cause": o.cause.value} for o in self.outages],
            "expected_seconds": total(verdict.expected(self.start, self.end, self.away)).total_seconds(),
        }


def _side(side: Side) -> dict[str, Any]:
    seen = side.seen
    return {
        "user_id": str(side.user_id),
        "finding": side.finding.value,
        "present_seconds": seen.present_seconds,
        "media_seconds": seen.media_seconds,
        "intervals": [_span(i) for i in seen.intervals],
        "waiting": [_span(i) for i in side.waiting],
    }


def _span(interval: Interval) -> dict[str, str]:
    return {"from": _instant(interval.start), "to": _instant(interval.end)}


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def evidence_in(conn: Conn, session: OpenSession, now: datetime) -> Evidence:
    """All there is of a session up to ``now``."""
    presences = await store.of_session(conn, session.id)
    visits = await store.visits(conn, session.id)
    outages = await store.outages_between(
        conn, session.starts_at - JOIN_OPENS - RULES.recovery, session.ends_at + JOIN_CLOSES
    )

    def side(user_id: UUID, role: str) -> Side:
        return Side(
            user_id,
            role,
            tuple(p for p in presences if p.user_id == user_id),
            union(interval for visitor, interval in visits if visitor == user_id),
        )

    return Evidence(
        session.starts_at,
        session.ends_at,
        side(session.mentor_id, "mentor"),
        side(session.mentee_id, "mentee"),
        tuple(outages),
        now,
    )
