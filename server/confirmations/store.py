"""Questions and answers in PostgreSQL; rows are only added."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.base.ids import new_id
from server.confirmations.model import Answer, Confirmation, Question, Step, confirmation_of


async def lock_session(conn: Conn, session_id: UUID) -> None:
    """Let this transaction be the only one that asks, answers, moves or cancels the session."""
    await conn.execute("SELECT FROM sessions WHERE id = $1 FOR NO KEY UPDATE", session_id)


async def ask(conn: Conn, questions: Sequence[Question], channel: str, now: datetime) -> set[UUID]:
    """The sessions of which they were not asked before."""
    each = [(it, user_id) for it in questions for user_id in it.users]
    rows = await conn.fetch(
        "INSERT INTO confirmations (id, session_id, user_id, revision, step, channel, said_at, at)"
        " SELECT id, session_id, user_id, revision, 0, $5, $6, $6"
        " FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[]) AS q (id, session_id, user_id, revision)"
        " ON CONFLICT (session_id, revision, user_id, step) DO NOTHING RETURNING session_id",
        [new_id() for _ in each], [it.session_id for it, _ in each], [user_id for _, user_id in each],
        [it.revision for it, _ in each], channel, now,
    )  # fmt: skip
    return {row["session_id"] for row in rows}


async def add(conn: Conn, session_id: UUID, revision: int, step: Step) -> None:
    await conn.execute(
        "INSERT INTO confirmations (id, session_id, user_id, revision, step, answer, channel, late, said_at, at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new_id(), session_id, step.user_id, revision, step.step, step.answer, step.channel, step.late, step.said_at,
        step.at,
    )  # fmt: skip


async def steps(conn: Conn, session_id: UUID, revision: int) -> list[Step]:
    """In the order in which they reached us."""
    rows = await conn.fetch(
        "SELECT user_id, step, answer, channel, late, said_at, at FROM confirmations"
        " WHERE session_id = $1 AND revision = $2 ORDER BY step, user_id",
        session_id, revision,
    )  # fmt: skip
    return [Step(**{**row, "answer": Answer(row["answer"]) if row["answer"] else None}) for row in rows]


async def of_sessions(conn: Conn, sessions: Collection[UUID]) -> Mapping[UUID, Confirmation]:
    """By session, at its present revision; those that were never asked have nobody in it."""
    rows = await conn.fetch(
        "SELECT b.session_id, b.revision, c.user_id, c.step, c.answer, c.channel, c.late, c.said_at, c.at"
        " FROM bookings b LEFT JOIN confirmations c ON c.session_id = b.session_id AND c.revision = b.revision"
        " WHERE b.session_id = ANY ($1::uuid[]) ORDER BY c.step",
        list(sessions),
    )
    found: dict[UUID, tuple[int, list[Step]]] = {}
    for session_id, revision, user_id, step, answer, *rest in rows:
        own = found.setdefault(session_id, (revision, []))[1]
        if step is not None:
            own.append(Step(user_id, step, Answer(answer) if answer else None, *rest))
    return {session: confirmation_of(session, *of) for session, of in found.items()}


async def was_missed(conn: Conn, session_id: UUID, revision: int) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM missing_confirmations WHERE session_id = $1 AND revision = $2)",
        session_id, revision,
    )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A session that begins soon, and who has not said whether they come."""

    session_id: UUID
    revision: int
    start: datetime
    users: tuple[UUID, ...]


async def claim_unanswered(
    conn: Conn, now: datetime, start_by: datetime, asked_by: datetime, limit: int
) -> list[Unanswered]:
    """Lock up to ``limit`` sessions that begin in (now, start_by] and whose question of before ``asked_by`` somebody
    has not answered, skipping those another sweep holds and those that were told."""
    rows = await conn.fetch(
        "SELECT s.id AS session_id, b.revision, s.starts_at AS start,"
        " ARRAY(SELECT c.user_id FROM confirmations c WHERE c.session_id = s.id AND c.revision = b.revision"
        "  AND c.step = 0 AND NOT EXISTS (SELECT FROM confirmations a WHERE a.session_id = c.session_id"
        "  AND a.revision = c.revision AND a.user_id = c.user_id AND a.step > 0) ORDER BY c.user_id) AS users"
        " FROM sessions s JOIN bookings b ON b.session_id = s.id"
        " WHERE s.status = 'scheduled' AND b.status = 'approved' AND s.starts_at > $1 AND s.starts_at <= $2"
        " AND NOT EXISTS (SELECT FROM missing_confirmations m WHERE m.session_id = s.id AND m.revision = b.revision)"
        " AND EXISTS (SELECT FROM confirmations c WHERE c.session_id = s.id AND c.revision = b.revision AND c.step = 0"
        "  AND c.at <= $3 AND NOT EXISTS (SELECT FROM confirmations a WHERE a.session_id = c.session_id"
        "  AND a.revision = c.revision AND a.user_id = c.user_id AND a.step > 0))"
        " ORDER BY s.starts_at, s.id LIMIT $4 FOR NO KEY UPDATE OF s SKIP LOCKED",
        now, start_by, asked_by, limit,
    )  # fmt: skip
    return [Unanswered(**{**row, "users": tuple(row["users"])}) for row in rows]


async def note_missing(conn: Conn, session_id: UUID, revision: int, now: datetime) -> bool:
    """False when it was noted before."""
    tag = await conn.execute(
        "INSERT INTO missing_confirmations (session_id, revision, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        session_id, revision, now,
    )  # fmt: skip
    return tag == "INSERT 0 1"


@dataclass(frozen=True, slots=True)
class Ahead:
    """A session somebody was asked about, that has not begun."""

    session_id: UUID
    user_id: UUID
    revision: int
    start: datetime
    end: datetime
    other_name: str


async def asked_ahead(conn: Conn, users: Collection[UUID], now: datetime) -> list[Ahead]:
    """The sessions these people were asked about and that have not begun, the next one first."""
    rows = await conn.fetch(
        'SELECT s.id AS session_id, c.user_id, b.revision, s.starts_at AS start, s.ends_at AS "end",'
        " other.name AS other_name"
        " FROM confirmations c JOIN sessions s ON s.id = c.session_id"
        " JOIN bookings b ON b.session_id = s.id AND b.revision = c.revision"
        " JOIN users other ON other.id = CASE WHEN s.mentor_id = c.user_id THEN s.mentee_id ELSE s.mentor_id END"
        " WHERE c.user_id = ANY ($1::uuid[]) AND c.step = 0 AND s.status = 'scheduled' AND s.starts_at > $2"
        " ORDER BY s.starts_at, s.id, c.user_id LIMIT 20",
        list(users), now,
    )  # fmt: skip
    return [Ahead(**row) for row in rows]
