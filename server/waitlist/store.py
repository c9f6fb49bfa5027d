"""The line in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import asyncpg

from server.base.db import Conn, Row
from server.waitlist.model import Place, WaitStatus

_SELECT = (
    "SELECT w.id, w.mentor_id, w.mentee_id, w.earliest, w.latest, w.status, w.booking_id, w.created_at,"
    " mentor.name AS mentor_name, (SELECT count(*) FROM waitlist o WHERE o.mentor_id = w.mentor_id"
    " AND o.status = 'waiting' AND (o.created_at, o.id) < (w.created_at, w.id)) AS ahead"
    " FROM waitlist w JOIN users mentor ON mentor.id = w.mentor_id"
)


def _place(row: Row) -> Place:
    fields = dict(row)
    return Place(**{**fields, "status": WaitStatus(fields["status"])})


async def insert(
    conn: Conn,
    place_id: UUID,
    mentor_id: UUID,
    mentee_id: UUID,
    earliest: datetime,
    latest: datetime,
    now: datetime,
) -> bool:
    """False when the person stands in this line already."""
    try:
        async with conn.transaction():  # a savepoint
            await conn.execute(
                "INSERT INTO waitlist (id, mentor_id, mentee_id, earliest, latest, status, created_at, updated_at)"
                " VALUES ($1, $2, $3, $4, $5, 'waiting', $6, $6)",
                place_id, mentor_id, mentee_id, earliest, latest, now,
            )  # fmt: skip
    except asyncpg.UniqueViolationError:
        return False
    return True


async def place(conn: Conn, place_id: UUID) -> Place | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE w.id = $1", place_id)
    return _place(row) if row else None


async def of_person(conn: Conn, mentee_id: UUID, limit: int) -> list[Place]:
    """Where the person stands, the newest place first; places that are over are not told."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE w.mentee_id = $1 AND w.status IN ('waiting', 'offered')"
        " ORDER BY w.created_at DESC, w.id LIMIT $2",
        mentee_id, limit,
    )  # fmt: skip
    return [_place(row) for row in rows]


async def line(conn: Conn, mentor_id: UUID, start: datetime, end: datetime) -> list[Place]:
    """Who waits for a time like [start, end), the first one first; nobody else can move them meanwhile."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE w.mentor_id = $1 AND w.status = 'waiting' AND w.earliest <= $2 AND w.latest >= $3"
        " ORDER BY w.created_at, w.id FOR UPDATE OF w LIMIT 50",
        mentor_id, start, end,
    )  # fmt: skip
    return [_place(row) for row in rows]


async def set_status(
    conn: Conn, place_id: UUID, status: WaitStatus, booking_id: UUID | None, now: datetime
) -> None:
    """``booking_id`` None leaves the one that is there."""
    await conn.execute(
        "UPDATE waitlist SET status = $2, booking_id = coalesce($3, booking_id), updated_at = $4 WHERE id = $1",
        place_id, status, booking_id, now,
    )  # fmt: skip


async def answered(conn: Conn, booking_id: UUID, status: WaitStatus, now: datetime) -> bool:
    """The offer made with this hold is over; False if it was none, or is over already."""
    tag = await conn.execute(
        "UPDATE waitlist SET status = $2, updated_at = $3 WHERE booking_id = $1 AND status = 'offered'",
        booking_id, status, now,
    )  # fmt: skip
    return tag != "UPDATE 0"
