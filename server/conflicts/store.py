"""Dismissed collisions, and sessions that overlap in different rooms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.conflicts.model import Shared


async def dismissed(conn: Conn, bookings: Sequence[UUID]) -> set[tuple[UUID, str, str]]:
    """(booking, kind, cause) of what was dismissed of these."""
    rows = await conn.fetch(
        "SELECT booking_id, kind, cause FROM conflict_dismissals WHERE booking_id = ANY($1::uuid[])", bookings
    )
    return {(row["booking_id"], row["kind"], row["cause"]) for row in rows}


async def dismiss(
    conn: Conn, booking_id: UUID, kind: str, cause: str, actor_id: UUID, reason: str, now: datetime
) -> None:
    """Again: the first one stands."""
    await conn.execute(
        "INSERT INTO conflict_dismissals (booking_id, kind, cause, actor_id, reason, at)"
        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        booking_id, kind, cause, actor_id, reason, now,
    )  # fmt: skip


async def overlapping(conn: Conn, sessions: Sequence[UUID]) -> list[Shared]:
    """Which of these overlap another scheduled session of their mentor's without meeting in one room."""
    rows = await conn.fetch(
        "SELECT s.id AS session_id, o.id AS other_id, o.starts_at AS other_start,"
        " (s.starts_at, s.ends_at) = (o.starts_at, o.ends_at) AS same_time"
        " FROM sessions s JOIN sessions o ON o.mentor_id = s.mentor_id AND o.id <> s.id"
        " AND o.starts_at < s.ends_at AND o.ends_at > s.starts_at"
        " WHERE s.id = ANY($1::uuid[]) AND s.status = 'scheduled' AND o.status = 'scheduled'"
        " AND coalesce(s.room_id, s.id) <> coalesce(o.room_id, o.id) ORDER BY s.id, o.id",
        sessions,
    )
    return [Shared(**row) for row in rows]
