"""The outbox: facts are recorded here and claimed from here; which reactions exist is the worker's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from server.base.db import Conn
from server.base.facts import Fact, encode


@dataclass(frozen=True, slots=True)
class StoredFact:
    id: int
    kind: str
    session_id: UUID | None
    at: datetime
    data: dict[str, Any]
    attempts: int
    handled_at: datetime | None


_COLUMNS = "id, kind, session_id, at, data, attempts, handled_at"


async def record(conn: Conn, *facts: Fact) -> None:
    """Write them to the outbox, in this order; call it inside the transaction that makes them true.

    The first attempt is due at once whatever the clock says (the epoch), so that a job replayed with ``--at`` in the
    future has its facts handled today.
    """
    await conn.execute(
        "INSERT INTO facts (kind, session_id, at, data, next_attempt_at)"
        " SELECT kind, session_id, at, data, to_timestamp(0)"
        " FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::jsonb[]) AS f (kind, session_id, at, data)",
        [fact.KIND for fact in facts], [fact.session_id for fact in facts], [fact.at for fact in facts],
        [encode(fact) for fact in facts],
    )  # fmt: skip


async def claim(conn: Conn, now: datetime, limit: int, after: int = 0) -> list[StoredFact]:
    """Lock up to ``limit`` unhandled facts that are due, skipping those another worker holds.

    ``after`` only spares looking again at what this pass has handled; nobody may rely on it to have seen everything
    below: identity values commit out of order.
    """
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM facts WHERE handled_at IS NULL AND next_attempt_at <= $1 AND id > $3"
        " ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now, limit, after,
    )  # fmt: skip
    return [StoredFact(**row) for row in rows]


async def mark_handled(conn: Conn, fact_ids: Sequence[int], now: datetime) -> None:
    await conn.execute("UPDATE facts SET handled_at = $2 WHERE id = ANY ($1::bigint[])", fact_ids, now)


async def postpone(conn: Conn, fact_id: int, now: datetime, delay: timedelta) -> None:
    await conn.execute(
        "UPDATE facts SET attempts = attempts + 1, next_attempt_at = $2 WHERE id = $1", fact_id, now + delay
    )


async def reactions_done(conn: Conn, fact_id: int) -> set[str]:
    rows = await conn.fetch("SELECT reaction FROM fact_reactions WHERE fact_id = $1", fact_id)
    return {row["reaction"] for row in rows}


async def mark_reactions(conn: Conn, done: Sequence[tuple[int, str]], now: datetime) -> None:
    """Note (fact, reaction) that are through. Raises ``asyncpg.UniqueViolationError`` for one that was noted before."""
    await conn.execute(
        "INSERT INTO fact_reactions (fact_id, reaction, done_at)"
        " SELECT fact_id, reaction, $3 FROM unnest($1::bigint[], $2::text[]) AS d (fact_id, reaction)",
        [fact_id for fact_id, _ in done], [reaction for _, reaction in done], now,
    )  # fmt: skip


async def mark_reaction(
    conn: Conn, fact_id: int, reaction: str, now: datetime, error: str | None = None
) -> bool:
    """Note that ``reaction`` is through with the fact; False if that was noted before. ``error``: a dead letter."""
    row = await conn.fetchrow(
        "INSERT INTO fact_reactions (fact_id, reaction, done_at, error) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT DO NOTHING RETURNING fact_id",
        fact_id, reaction, now, error,
    )  # fmt: skip
    return row is not None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A fact with the reactions that were given up, and why, by name."""

    id: int
    kind: str
    session_id: UUID | None
    at: datetime
    data: dict[str, Any]
    died_at: datetime
    errors: dict[str, str]


async def dead_letters(conn: Conn, before: int | None, limit: int) -> list[DeadLetter]:
    rows = await conn.fetch(
        "SELECT f.id, f.kind, f.session_id, f.at, f.data, max(r.done_at) AS died_at,"
        " jsonb_object_agg(r.reaction, r.error) AS errors"
        " FROM facts f JOIN fact_reactions r ON r.fact_id = f.id"
        " WHERE r.error IS NOT NULL AND ($1::bigint IS NULL OR f.id < $1)"
        " GROUP BY f.id ORDER BY f.id DESC LIMIT $2",
        before, limit,
    )  # fmt: skip
    return [DeadLetter(**row) for row in rows]


async def revive(conn: Conn, fact_id: int) -> bool:
    """Put a dead letter back into the queue; False when it is none. One attempt stays counted: from the second on, the
    outbox looks up which reactions are done."""
    gone = await conn.fetch(
        "DELETE FROM fact_reactions WHERE fact_id = $1 AND error IS NOT NULL RETURNING reaction", fact_id
    )
    if gone:
        await conn.execute(
            "UPDATE facts SET handled_at = NULL, attempts = 1, next_attempt_at = to_timestamp(0) WHERE id = $1",
            fact_id,
        )
    return bool(gone)


async def of_session(conn: Conn, session_id: UUID) -> list[StoredFact]:
    rows = await conn.fetch(f"SELECT {_COLUMNS} FROM facts WHERE session_id = $1 ORDER BY at, id", session_id)
    return [StoredFact(**row) for row in rows]


async def outbox_figures(conn: Conn) -> tuple[int, int]:
    """(facts waiting, dead letters): reactions given up plus messages that will not be tried again."""
    row = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM facts WHERE handled_at IS NULL),"
        " (SELECT count(*) FROM fact_reactions WHERE error IS NOT NULL)"
        " + (SELECT count(*) FROM notifications WHERE status = 'dead')"
    )
    assert row is not None  # noqa: S101 - an aggregate always returns a row
    return row[0], row[1]
