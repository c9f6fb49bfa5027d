"""Presence intervals in PostgreSQL, and the sessions that wait for a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance.model import SERVER_LOST, Presence
from server.base.db import Conn
from server.base.ids import new_id


@dataclass(frozen=True, slots=True)
class Closed:
    session_id: UUID
    user_id: UUID
    peer_id: str
    left_at: datetime


async def open_interval(conn: Conn, session_id: UUID, user_id: UUID, peer_id: str, at: datetime) -> bool:
    """False when the peer has an open interval already, or had this very one."""
    row = await conn.fetchrow(
        "INSERT INTO presence_intervals (id, session_id, user_id, peer_id, joined_at, last_seen_at)"
        " SELECT $1, $2, $3, $4, $5, $5 WHERE NOT EXISTS (SELECT FROM presence_intervals"
        " WHERE session_id = $2 AND peer_id = $4 AND left_at IS NULL)"
        " ON CONFLICT (session_id, peer_id, joined_at) DO NOTHING RETURNING id",
        new_id(), session_id, user_id, peer_id, at,
    )  # fmt: skip
    return row is not None


async def touch(conn: Conn, seen: Sequence[tuple[UUID, str, datetime, float, float]]) -> None:
    """Heartbeats, in one statement. An interval that was written off as lost lives on when its peer is seen again."""
    await conn.execute(
        "UPDATE presence_intervals p SET last_seen_at = greatest(p.last_seen_at, s.at),"
        " media_seconds = greatest(p.media_seconds, s.media), talk_seconds = greatest(p.talk_seconds, s.talk),"
        " left_at = NULL, left_reason = NULL"
        " FROM (SELECT DISTINCT ON (session_id, peer_id) * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[],"
        " $4::double precision[], $5::double precision[]) AS u (session_id, peer_id, at, media, talk)"
        " ORDER BY session_id, peer_id, at DESC) s"
        " WHERE p.session_id = s.session_id AND p.peer_id = s.peer_id AND p.joined_at <= s.at"
        " AND (p.left_at IS NULL OR (p.left_reason = $6 AND s.at > p.left_at AND NOT EXISTS ("
        "SELECT FROM presence_intervals n WHERE n.session_id = p.session_id AND n.peer_id = p.peer_id"
        " AND n.joined_at > p.joined_at)))",
        [s[0] for s in seen], [s[1] for s in seen], [s[2] for s in seen],
        [s[3] for s in seen], [s[4] for s in seen], SERVER_LOST,
    )  # fmt: skip


async def close_interval(conn: Conn, session_id: UUID, peer_id: str, at: datetime, reason: str) -> bool:
    """False when the peer had no open (or written-off) interval that began before ``at``."""
    row = await conn.fetchrow(
        "UPDATE presence_intervals SET left_at = $3, last_seen_at = $3, left_reason = $4 WHERE id = ("
        "SELECT id FROM presence_intervals WHERE session_id = $1 AND peer_id = $2 AND joined_at <= $3"
        " ORDER BY joined_at DESC LIMIT 1) AND (left_at IS NULL OR left_reason = $5) RETURNING id",
        session_id, peer_id, at, reason, SERVER_LOST,
    )  # fmt: skip
    return row is not None


async def close_silent(conn: Conn, silent_since: datetime) -> list[Closed]:
    """End every open interval without a heartbeat since then, at its last one."""
    rows = await conn.fetch(
        "UPDATE presence_intervals SET left_at = last_seen_at, left_reason = $2"
        " WHERE left_at IS NULL AND last_seen_at < $1 RETURNING session_id, user_id, peer_id, left_at",
        silent_since, SERVER_LOST,
    )  # fmt: skip
    return [Closed(**row) for row in rows]


async def of_session(conn: Conn, session_id: UUID) -> list[Presence]:
    """What was seen in the room the session meets in, of everybody there, and in its own before it shared one."""
    rows = await conn.fetch(
        "SELECT user_id, peer_id, joined_at, last_seen_at, left_at, left_reason, media_seconds, talk_seconds"
        " FROM presence_intervals WHERE session_id IN ($1, (SELECT room_id FROM sessions WHERE id = $1))"
        " ORDER BY joined_at, peer_id",
        session_id,
    )
    return [Presence(**row) for row in rows]


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session without a verdict, as locked for one."""

    id: UUID
    mentor_id: UUID
    mentee_id: UUID
    starts_at: datetime
    ends_at: datetime
    status: str
    outcome: str | None


async def lock_session(conn: Conn, session_id: UUID) -> OpenSession | None:
    row = await conn.fetchrow(
        "SELECT id, mentor_id, mentee_id, starts_at, ends_at, status, outcome FROM sessions WHERE id = $1 FOR UPDATE",
        session_id,
    )
    return OpenSession(**row) if row else None


async def save_verdict(conn: Conn, session_id: UUID, outcome: str, now: datetime) -> None:
    await conn.execute(
        "UPDATE sessions SET status = 'settled', outcome = $2, settled_at = $3 WHERE id = $1",
        session_id, outcome, now,
    )  # fmt: skip


async def ended(conn: Conn, now: datetime) -> list[UUID]:
    """Sessions whose end has passed and that have no verdict, the longest overdue first."""
    rows = await conn.fetch(
        "SELECT id FROM sessions WHERE status = 'scheduled' AND ends_at <= $1 ORDER BY ends_at, id", now
    )
    return [row["id"] for row in rows]


async def running_since(conn: Conn, now: datetime, grace: timedelta) -> list[OpenSession]:
    """Sessions in progress whose grace is over."""
    rows = await conn.fetch(
        "SELECT id, mentor_id, mentee_id, starts_at, ends_at, status, outcome FROM sessions"
        " WHERE status = 'scheduled' AND starts_at <= $1 AND ends_at > $2 ORDER BY starts_at, id",
        now - grace, now,
    )  # fmt: skip
    return [OpenSession(**row) for row in rows]


async def fact_known(conn: Conn, kind: str, session_id: UUID) -> bool:
    known: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM facts WHERE session_id = $1 AND kind = $2)", session_id, kind
    )
    return known
