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
    at: datetime


async def notifications(conn: Conn, session_id: UUID) -> list[Mailed]:
    rows = await conn.fetch(
        "SELECT kind, channel, role, address, subject, status, attempts, coalesce(sent_at, created_at) AS at"
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
