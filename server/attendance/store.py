"""Presence, visits, outages and verdicts in PostgreSQL, and the sessions that wait for a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server.attendance.intervals import Interval
from server.attendance.model import (
    SERVER_LOST,
    Cause,
    NoShowSuspected,
    Nudge,
    Outage,
    Presence,
    Review,
    Verdict,
)
from server.base.db import Conn, Json, Row
from server.base.ids import new_id
from server.sessions.model import Outcome


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


async def knows_switch(conn: Conn, session_id: UUID, peer_id: str, at: datetime) -> bool:
    """Whether the fact of it is written. One process reports a peer, one thing at a time, so nobody races."""
    known: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM facts WHERE session_id = $1 AND kind = 'media_switched' AND at = $3"
        " AND data->>'peer_id' = $2)",
        session_id, peer_id, at,
    )  # fmt: skip
    return known


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


async def find_session(conn: Conn, session_id: UUID) -> OpenSession | None:
    """To look at, not to change."""
    row = await conn.fetchrow(
        "SELECT id, mentor_id, mentee_id, starts_at, ends_at, status, outcome FROM sessions WHERE id = $1",
        session_id,
    )
    return OpenSession(**row) if row else None


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


async def running(conn: Conn, now: datetime, for_at_least: timedelta) -> list[OpenSession]:
    """Sessions in progress that began so long ago."""
    rows = await conn.fetch(
        "SELECT id, mentor_id, mentee_id, starts_at, ends_at, status, outcome FROM sessions"
        " WHERE status = 'scheduled' AND starts_at <= $1 AND ends_at > $2 ORDER BY starts_at, id",
        now - for_at_least, now,
    )  # fmt: skip
    return [OpenSession(**row) for row in rows]


async def nudges(conn: Conn, session_ids: Sequence[UUID]) -> list[Nudge]:
    """Who was written to while these sessions ran, in order; of each step of a person the first."""
    rows = await conn.fetch(
        "SELECT DISTINCT ON (user_id, minutes) (data->>'absent_id')::uuid AS user_id,"
        " coalesce((data->>'minutes')::integer, 10) AS minutes, at FROM facts"
        " WHERE session_id = ANY($1::uuid[]) AND kind = $2 ORDER BY user_id, minutes, at",
        session_ids, NoShowSuspected.KIND,
    )  # fmt: skip
    return sorted((Nudge(**row) for row in rows), key=lambda nudge: nudge.at)


# ---------------------------------------------------------------- the waiting room


async def note_visits(
    conn: Conn, rooms: Sequence[UUID], connections: Sequence[str], users: Sequence[UUID], at: datetime
) -> None:
    """These sockets are open now."""
    await conn.execute(
        "INSERT INTO room_visits (session_id, connection_id, user_id, came_at, last_seen_at)"
        " SELECT s, c, u, $4, $4 FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS v (s, c, u)"
        " ON CONFLICT (session_id, connection_id) DO UPDATE"
        " SET last_seen_at = greatest(room_visits.last_seen_at, excluded.last_seen_at)",
        rooms, connections, users, at,
    )  # fmt: skip


async def visits(conn: Conn, session_id: UUID) -> list[tuple[UUID, Interval]]:
    """(person, open socket) in the room the session meets in, and in its own before."""
    rows = await conn.fetch(
        "SELECT user_id, came_at, last_seen_at FROM room_visits"
        " WHERE session_id IN ($1, (SELECT room_id FROM sessions WHERE id = $1)) ORDER BY came_at, connection_id",
        session_id,
    )
    return [(row["user_id"], Interval(row["came_at"], row["last_seen_at"])) for row in rows]


# ---------------------------------------------------------------- outages

_OUTAGE = "id, began_at, ended_at, cause, note, recorded_at"


async def lock_outages(conn: Conn) -> None:
    """One writer of outages at a time, until the end of the transaction."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('visavis.outages'))")


async def beat(conn: Conn, process_id: UUID, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO server_beats (process_id, started_at, beat_at) VALUES ($1, $2, $2)"
        " ON CONFLICT (process_id) DO UPDATE SET beat_at = excluded.beat_at, stopped_at = NULL",
        process_id, now,
    )  # fmt: skip


async def stop_beating(conn: Conn, process_id: UUID, now: datetime) -> None:
    await conn.execute("UPDATE server_beats SET stopped_at = $2 WHERE process_id = $1", process_id, now)


async def latest_beat(conn: Conn) -> datetime | None:
    """When a process was last known to serve; None before the first one."""
    latest: datetime | None = await conn.fetchval(
        "SELECT max(greatest(beat_at, stopped_at)) FROM server_beats"
    )
    return latest


async def forget_silent(conn: Conn, but: UUID, silent_since: datetime) -> list[datetime]:
    """Remove the processes that are gone; the last beats of those that did not stop by themselves."""
    rows = await conn.fetch(
        "DELETE FROM server_beats WHERE process_id <> $1 AND beat_at < $2 RETURNING beat_at, stopped_at",
        but, silent_since,
    )  # fmt: skip
    return [row["beat_at"] for row in rows if row["stopped_at"] is None]


async def open_outage(conn: Conn, began: datetime, cause: str, now: datetime) -> bool:
    """False while another one goes on."""
    row = await conn.fetchrow(
        "INSERT INTO outages (id, began_at, cause, recorded_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING RETURNING id",
        new_id(), began, cause, now,
    )  # fmt: skip
    return row is not None


async def close_outage(conn: Conn, now: datetime) -> datetime | None:
    """End the one that goes on; when it began, None without one."""
    began: datetime | None = await conn.fetchval(
        "UPDATE outages SET ended_at = greatest(began_at, $1) WHERE ended_at IS NULL RETURNING began_at", now
    )
    return began


async def add_outage(
    conn: Conn,
    began: datetime,
    ended: datetime,
    cause: str,
    now: datetime,
    note: str = "",
    by: UUID | None = None,
) -> Outage:
    row = await conn.fetchrow(
        "INSERT INTO outages (id, began_at, ended_at, cause, note, declared_by, recorded_at)"
        f" VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_OUTAGE}",
        new_id(), began, ended, cause, note, by, now,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - an insert returns its row
    return _outage(row)


async def outages_between(conn: Conn, start: datetime, end: datetime) -> list[Outage]:
    """Those that touch [start, end], in order."""
    rows = await conn.fetch(
        f"SELECT {_OUTAGE} FROM outages WHERE began_at <= $2 AND (ended_at IS NULL OR ended_at >= $1)"
        " ORDER BY began_at, id",
        start, end,
    )  # fmt: skip
    return [_outage(row) for row in rows]


async def latest_outages(conn: Conn, before: tuple[datetime, UUID] | None, limit: int) -> list[Outage]:
    """Newest first, older than (began_at, id) ``before``."""
    rows = await conn.fetch(
        f"SELECT {_OUTAGE} FROM outages WHERE $1::timestamptz IS NULL OR (began_at, id) < ($1, $2::uuid)"
        " ORDER BY began_at DESC, id DESC LIMIT $3",
        before and before[0], before and before[1], limit,
    )  # fmt: skip
    return [_outage(row) for row in rows]


def _outage(row: Row) -> Outage:
    return Outage(
        row["id"], row["began_at"], row["ended_at"], Cause(row["cause"]), row["note"], row["recorded_at"]
    )


# ---------------------------------------------------------------- verdicts


async def add_verdict(
    conn: Conn,
    session_id: UUID,
    outcome: str,
    admin_id: UUID | None,
    reason: str,
    inputs: Json,
    now: datetime,
) -> int:
    """The next step; its number. The session's row is locked."""
    seq: int = await conn.fetchval(
        "INSERT INTO verdicts (session_id, seq, outcome, decided_by, admin_id, reason, inputs, at)"
        " SELECT $1, coalesce(max(seq), 0) + 1, $2, CASE WHEN $3::uuid IS NULL THEN 'system' ELSE 'admin' END, $3, $4,"
        " $5, $6 FROM verdicts WHERE session_id = $1 RETURNING seq",
        session_id, outcome, admin_id, reason, inputs, now,
    )  # fmt: skip
    return seq


async def amend_outcome(conn: Conn, session_id: UUID, outcome: str) -> None:
    await conn.execute("UPDATE sessions SET outcome = $2 WHERE id = $1", session_id, outcome)


async def verdicts(conn: Conn, session_id: UUID) -> list[Verdict]:
    """Every step, the first one first."""
    rows = await conn.fetch(
        "SELECT session_id, seq, outcome, admin_id, reason, inputs, at FROM verdicts"
        " WHERE session_id = $1 ORDER BY seq",
        session_id,
    )
    return [Verdict(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows]


_REVIEW = "id, session_id, asked_by, reason, asked_at, answer, answer_note, answered_at"


async def add_review(
    conn: Conn, session_id: UUID, asked_by: UUID, reason: str, now: datetime
) -> Review | None:
    """None when this person has asked before."""
    row = await conn.fetchrow(
        "INSERT INTO verdict_reviews (id, session_id, asked_by, reason, asked_at) VALUES ($1, $2, $3, $4, $5)"
        f" ON CONFLICT (session_id, asked_by) DO NOTHING RETURNING {_REVIEW}",
        new_id(), session_id, asked_by, reason, now,
    )  # fmt: skip
    return Review(**row) if row else None


async def reviews_of(conn: Conn, session_id: UUID) -> list[Review]:
    rows = await conn.fetch(
        f"SELECT {_REVIEW} FROM verdict_reviews WHERE session_id = $1 ORDER BY asked_at, id", session_id
    )
    return [Review(**row) for row in rows]


async def lock_review(conn: Conn, review_id: UUID) -> Review | None:
    row = await conn.fetchrow(f"SELECT {_REVIEW} FROM verdict_reviews WHERE id = $1 FOR UPDATE", review_id)
    return Review(**row) if row else None


async def answer_reviews(
    conn: Conn, reviews: Sequence[UUID], answer: str, note: str, admin_id: UUID, now: datetime
) -> None:
    """Those that still wait."""
    await conn.execute(
        "UPDATE verdict_reviews SET answer = $2, answer_note = $3, answered_by = $4, answered_at = $5"
        " WHERE id = ANY($1::uuid[]) AND answer IS NULL",
        reviews, answer, note, admin_id, now,
    )  # fmt: skip


async def open_reviews(conn: Conn, after: tuple[datetime, UUID] | None, limit: int) -> list[Review]:
    """Those that wait, the longest first, from the (asked_at, id) ``after`` on."""
    rows = await conn.fetch(
        f"SELECT {_REVIEW} FROM verdict_reviews WHERE answered_at IS NULL"
        " AND ($1::timestamptz IS NULL OR (asked_at, id) > ($1, $2::uuid)) ORDER BY asked_at, id LIMIT $3",
        after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [Review(**row) for row in rows]
