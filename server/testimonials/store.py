"""Testimonials in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.testimonials.model import Rating, Status, Testimonial, rating_of

_SELECT = (
    "SELECT t.session_id, t.mentor_id, t.mentee_id, mentor.name AS mentor_name, mentee.name AS mentee_name, t.stars,"
    " t.text, t.status, t.reason, t.revision, t.written_at, t.decided_at, s.starts_at AS session_start"
    " FROM testimonials t JOIN sessions s ON s.id = t.session_id JOIN users mentor ON mentor.id = t.mentor_id"
    " JOIN users mentee ON mentee.id = t.mentee_id"
)
# A verdict that is amended takes what was said of the session with it, and gives it back.
_ATTENDED = "s.outcome = 'completed'"


def _testimonial(row: Row) -> Testimonial:
    return Testimonial(**{**row, "status": Status(row["status"])})


async def one(conn: Conn, session_id: UUID) -> Testimonial | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE t.session_id = $1", session_id)
    return _testimonial(row) if row else None


async def lock_session(conn: Conn, session_id: UUID) -> None:
    """Let this transaction be the only one that changes what is said of the session: there may be no row yet."""
    await conn.execute("SELECT FROM sessions WHERE id = $1 FOR NO KEY UPDATE", session_id)


async def write(
    conn: Conn, session_id: UUID, mentor_id: UUID, mentee_id: UUID, stars: int, text: str, now: datetime
) -> None:
    await conn.execute(
        "INSERT INTO testimonials (session_id, mentor_id, mentee_id, stars, text, status, revision, written_at)"
        " VALUES ($1, $2, $3, $4, $5, 'submitted', 1, $6) ON CONFLICT (session_id) DO UPDATE SET stars = $4, text = $5,"
        " status = 'submitted', reason = '', revision = testimonials.revision + 1, written_at = $6, decided_at = NULL,"
        " decided_by = NULL",
        session_id, mentor_id, mentee_id, stars, text, now,
    )  # fmt: skip


async def decide(
    conn: Conn, session_id: UUID, status: Status, reason: str, by: UUID | None, now: datetime | None
) -> None:
    """Set the status; ``by`` and ``now`` for decisions only."""
    await conn.execute(
        "UPDATE testimonials SET status = $2, reason = $3, decided_by = $4, decided_at = $5, revision = revision + 1"
        " WHERE session_id = $1",
        session_id, status, reason, by, now,
    )  # fmt: skip


async def queue(conn: Conn, after: tuple[datetime, UUID] | None, limit: int) -> list[Testimonial]:
    """What waits to be read, the longest waiting first."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE t.status = 'submitted'"
        " AND ($1::timestamptz IS NULL OR (t.written_at, t.session_id) > ($1, $2::uuid))"
        " ORDER BY t.written_at, t.session_id LIMIT $3",
        after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [_testimonial(row) for row in rows]


async def decided(conn: Conn, before: tuple[datetime, UUID] | None, limit: int) -> list[Testimonial]:
    """What was decided, the latest first."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE t.decided_at IS NOT NULL"
        " AND ($1::timestamptz IS NULL OR (t.decided_at, t.session_id) < ($1, $2::uuid))"
        " ORDER BY t.decided_at DESC, t.session_id DESC LIMIT $3",
        before and before[0], before and before[1], limit,
    )  # fmt: skip
    return [_testimonial(row) for row in rows]


async def published(
    conn: Conn, mentor_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Testimonial]:
    """Of the mentor, the newest text first."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE t.mentor_id = $1 AND t.status = 'published' AND {_ATTENDED}"
        " AND ($2::timestamptz IS NULL OR (t.written_at, t.session_id) < ($2, $3::uuid))"
        " ORDER BY t.written_at DESC, t.session_id DESC LIMIT $4",
        mentor_id, before and before[0], before and before[1], limit,
    )  # fmt: skip
    return [_testimonial(row) for row in rows]


async def ratings(conn: Conn, mentors: list[UUID]) -> Mapping[UUID, Rating]:
    """Of those who have one."""
    rows = await conn.fetch(
        "SELECT t.mentor_id, sum(t.stars)::bigint AS stars, count(*) AS number FROM testimonials t"
        f" JOIN sessions s ON s.id = t.session_id WHERE t.mentor_id = ANY($1::uuid[]) AND t.status = 'published'"
        f" AND {_ATTENDED} GROUP BY t.mentor_id",
        mentors,
    )
    return {row["mentor_id"]: rating_of(row["stars"], row["number"]) for row in rows}
