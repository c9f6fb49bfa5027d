"""Published sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.sessions.model import Outcome, Session, SessionStatus

_SELECT = (
    "SELECT s.id, s.mentor_id, s.mentee_id, s.starts_at, s.ends_at, s.status, s.outcome, s.settled_at,"
    " coalesce(s.room_id, s.id) AS room_id, b.id AS booking_id, b.topic, mentor.name AS mentor_name,"
    " mentee.name AS mentee_name"
    " FROM sessions s JOIN bookings b ON b.session_id = s.id"
    " JOIN users mentor ON mentor.id = s.mentor_id JOIN users mentee ON mentee.id = s.mentee_id"
)


def _session(row: Row) -> Session:
    return Session(
        id=row["id"],
        mentor_id=row["mentor_id"],
        mentee_id=row["mentee_id"],
        start=row["starts_at"],
        end=row["ends_at"],
        status=SessionStatus(row["status"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        settled_at=row["settled_at"],
        booking_id=row["booking_id"],
        mentor_name=row["mentor_name"],
        mentee_name=row["mentee_name"],
        topic=row["topic"],
        room_id=row["room_id"],
    )


async def publish(
    conn: Conn,
    session_id: UUID,
    mentor_id: UUID,
    mentee_id: UUID,
    start: datetime,
    end: datetime,
    now: datetime,
) -> None:
    """Make the session, or bring a withdrawn one back with its new time."""
    await conn.execute(
        "INSERT INTO sessions (id, mentor_id, mentee_id, starts_at, ends_at, status, created_at)"
        " VALUES ($1, $2, $3, $4, $5, 'scheduled', $6)"
        " ON CONFLICT (id) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,"
        " status = 'scheduled', outcome = NULL, settled_at = NULL WHERE sessions.status = 'cancelled'",
        session_id, mentor_id, mentee_id, start, end, now,
    )  # fmt: skip


async def move(conn: Conn, session_id: UUID, start: datetime, end: datetime) -> None:
    await conn.execute(
        "UPDATE sessions SET starts_at = $2, ends_at = $3 WHERE id = $1 AND status = 'scheduled'",
        session_id, start, end,
    )  # fmt: skip


async def cancel(conn: Conn, session_id: UUID, now: datetime) -> None:
    """Cancelled, or withdrawn until a new time is approved: there is no room and nothing to settle."""
    await conn.execute(
        "UPDATE sessions SET status = 'cancelled', outcome = 'cancelled', settled_at = $2"
        " WHERE id = $1 AND status = 'scheduled'",
        session_id, now,
    )  # fmt: skip


async def session(conn: Conn, session_id: UUID) -> Session | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE s.id = $1", session_id)
    return _session(row) if row else None


async def in_room(conn: Conn, session_id: UUID) -> list[Session]:
    """Every session that meets where this one meets, the one whose room it is first; empty without such a session."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE coalesce(s.room_id, s.id) ="
        " (SELECT coalesce(r.room_id, r.id) FROM sessions r WHERE r.id = $1)"
        " ORDER BY s.room_id IS NOT NULL, s.created_at, s.id",
        session_id,
    )
    return [_session(row) for row in rows]


async def room_of_group(conn: Conn, session_id: UUID) -> UUID | None:
    """The room in which the other seats of the session's group meet at its time, if there are any."""
    found: UUID | None = await conn.fetchval(
        "SELECT coalesce(s.room_id, s.id) FROM sessions s JOIN bookings b ON b.session_id = s.id"
        " JOIN bookings own ON own.seat_group = b.seat_group AND own.during = b.during"
        " WHERE own.session_id = $1 AND s.id <> $1 AND s.status = 'scheduled' ORDER BY s.created_at, s.id LIMIT 1",
        session_id,
    )
    return found


async def set_room(conn: Conn, sessions: Sequence[UUID], room_id: UUID | None) -> None:
    """Let these sessions meet in that one's room (None: each in its own); it itself has its own."""
    await conn.execute(
        "UPDATE sessions SET room_id = nullif($2::uuid, id) WHERE id = ANY($1::uuid[])", sessions, room_id
    )


async def hand_over(conn: Conn, room_id: UUID, heir: UUID, leaver: UUID) -> None:
    """What was said, and who was seen, in a room that goes to another session: all but the mentee who leaves it."""
    await conn.execute("UPDATE chat_messages SET session_id = $2 WHERE session_id = $1", room_id, heir)
    await conn.execute(
        "UPDATE sessions SET last_chat_seq = (SELECT coalesce(max(seq), 0) FROM chat_messages WHERE session_id = id)"
        " WHERE id = ANY($1::uuid[])",
        [room_id, heir],
    )
    await conn.execute(
        "UPDATE presence_intervals SET session_id = $2 WHERE session_id = $1 AND user_id <> $3",
        room_id, heir, leaver,
    )  # fmt: skip
    await conn.execute(
        "UPDATE room_visits SET session_id = $2 WHERE session_id = $1 AND user_id <> $3",
        room_id,
        heir,
        leaver,
    )


async def people_of_booking(conn: Conn, booking_id: UUID) -> tuple[UUID, UUID] | None:
    """(mentor, mentee)"""
    row = await conn.fetchrow("SELECT mentor_id, mentee_id FROM bookings WHERE id = $1", booking_id)
    return None if row is None else (row["mentor_id"], row["mentee_id"])


async def lock_of_booking(conn: Conn, booking_id: UUID) -> UUID | None:
    """Lock the booking's session, if it was published: always before the booking's own row, as settling does."""
    found: UUID | None = await conn.fetchval(
        "SELECT s.id FROM sessions s WHERE s.id = (SELECT session_id FROM bookings WHERE id = $1) FOR UPDATE",
        booking_id,
    )
    return found


async def link_used(conn: Conn, link_id: UUID) -> bool:
    found: bool = await conn.fetchval("SELECT EXISTS (SELECT FROM used_links WHERE id = $1)", link_id)
    return found


async def use_link(conn: Conn, link_id: UUID, booking_id: UUID, now: datetime) -> bool:
    """False when it was used before."""
    tag = await conn.execute(
        "INSERT INTO used_links (id, booking_id, used_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        link_id, booking_id, now,
    )  # fmt: skip
    return tag == "INSERT 0 1"


async def upcoming(
    conn: Conn, user_id: UUID, ending_after: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[Session]:
    """The person's scheduled sessions that end later, the next one first, from the (start, id) ``after`` on."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE (s.mentor_id = $1 OR s.mentee_id = $1) AND s.status = 'scheduled' AND s.ends_at > $2"
        " AND ($3::timestamptz IS NULL OR (s.starts_at, s.id) > ($3, $4::uuid))"
        " ORDER BY s.starts_at, s.id LIMIT $5",
        user_id, ending_after, after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [_session(row) for row in rows]
