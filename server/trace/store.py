"""What the parts have written down about one session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.trace.model import People


async def people(conn: Conn, session_id: UUID) -> People | None:
    row = await conn.fetchrow(
        "SELECT b.mentor_id, mentor.name AS mentor_name, b.mentee_id, mentee.name AS mentee_name FROM bookings b"
        " JOIN users mentor ON mentor.id = b.mentor_id JOIN users mentee ON mentee.id = b.mentee_id"
        " WHERE b.session_id = $1",
        session_id,
    )
    return People(**row) if row else None


@dataclass(frozen=True, slots=True)
class Moved:
    kind: str
    amount: int
    at: datetime


async def transfers(conn: Conn, session_id: UUID) -> list[Moved]:
    rows = await conn.fetch(
        "SELECT kind, amount, created_at AS at FROM transfers WHERE session_id = $1 ORDER BY created_at, id",
        session_id,
    )
    return [Moved(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Mailed:
    kind: str
    channel: str
    role: str
    address: str
    subject: str
    status: str
    attempts: int
    error: str | None
    delivered_at: datetime | None
    at: datetime


async def notifications(conn: Conn, session_id: UUID) -> list[Mailed]:
    rows = await conn.fetch(
        "SELECT kind, channel, role, address, subject, status, attempts, error, delivered_at,"
        " coalesce(sent_at, created_at) AS at"
        " FROM notifications WHERE session_id = $1 AND channel <> 'in_app'"  # the same again, within this house
        " ORDER BY created_at, id",
        session_id,
    )
    return [Mailed(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Paid:
    amount: int
    label: str
    mentor_id: UUID
    at: datetime


async def payslip_lines(conn: Conn, session_id: UUID) -> list[Paid]:
    rows = await conn.fetch(
        "SELECT l.amount, p.label, s.mentor_id, s.created_at AS at FROM payslip_lines l"
        " JOIN payslips s ON s.id = l.payslip_id JOIN payroll_periods p ON p.id = s.period_id"
        " WHERE l.session_id = $1 ORDER BY s.created_at",
        session_id,
    )
    return [Paid(**row) for row in rows]


async def span(conn: Conn, session_id: UUID) -> tuple[datetime, datetime] | None:
    """When the session was to take place."""
    row = await conn.fetchrow("SELECT starts_at, ends_at FROM sessions WHERE id = $1", session_id)
    return None if row is None else (row["starts_at"], row["ends_at"])


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that followed from no-shows; ``counted`` sessions brought it about, ``by_somebody``: not by itself."""

    person_id: UUID
    kind: str
    until: datetime | None
    counted: int
    by_somebody: bool
    words: str
    at: datetime


async def conduct_steps(conn: Conn, session_id: UUID) -> list[Taken]:
    """Warnings and restrictions that the session was the last straw of, with appeals and what became of them."""
    rows = await conn.fetch(
        "SELECT person_id, kind, until, cardinality(sessions) AS counted, actor_id IS NOT NULL AS by_somebody, words,"
        " at FROM conduct_steps WHERE session_id = $1 ORDER BY seq",
        session_id,
    )
    return [Taken(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class Written:
    """A testimonial as it stands."""

    stars: int
    text: str
    status: str
    at: datetime


async def testimonial(conn: Conn, session_id: UUID) -> Written | None:
    row = await conn.fetchrow(
        "SELECT stars, text, status, written_at AS at FROM testimonials WHERE session_id = $1", session_id
    )
    return Written(**row) if row else None


@dataclass(frozen=True, slots=True)
class Replied:
    """What somebody wrote back, and what it was taken for."""

    channel: str
    sender: str
    result: str
    at: datetime


async def replies(conn: Conn, session_id: UUID) -> list[Replied]:
    rows = await conn.fetch(
        "SELECT channel, coalesce(sender, '') AS sender, coalesce(result, '') AS result, received_at AS at"
        " FROM provider_events WHERE kind = 'reply' AND session_id = $1 ORDER BY received_at, id",
        session_id,
    )
    return [Replied(**row) for row in rows]
