"""What the board is made of, read from the tables of jobs, facts, messages and calendars; and the audit."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from server.base.db import Conn, rows_affected
from server.base.ids import new_id
from server.operations.model import DeadKind, DeadMessage, Deed, Pause, Queues, Run, Waiting

_RUN = (
    "job, scheduled_for, started_at, heartbeat_at, finished_at, result, rows_touched, error, lateness_seconds,"
    " missed_ticks, attempts, by_hand"
)
_MESSAGE = "id, kind, channel, address, subject, body, session_id, attempts, error, created_at"


async def last_runs(conn: Conn, jobs: Collection[str]) -> dict[str, Run]:
    """Of each job the run that was started last."""
    # One step into the index for each, not through a hundred days of runs.
    rows = await conn.fetch(
        f"SELECT {_RUN} FROM unnest($1::text[]) AS j (name), LATERAL (SELECT * FROM job_runs WHERE job = j.name"
        " ORDER BY started_at DESC, scheduled_for DESC LIMIT 1) AS latest",
        list(jobs),
    )
    return {row["job"]: Run(**row) for row in rows}


async def runs(conn: Conn, job: str, before: datetime | None, limit: int) -> list[Run]:
    """Of one job, by tick, the newest first."""
    rows = await conn.fetch(
        f"SELECT {_RUN} FROM job_runs WHERE job = $1 AND ($2::timestamptz IS NULL OR scheduled_for < $2)"
        " ORDER BY scheduled_for DESC LIMIT $3",
        job, before, limit,
    )  # fmt: skip
    return [Run(**row) for row in rows]


async def pauses(conn: Conn) -> dict[str, Pause]:
    rows = await conn.fetch(
        "SELECT p.job, p.paused_at, u.name FROM job_pauses p JOIN users u ON u.id = p.paused_by"
    )
    return {row["job"]: Pause(row["paused_at"], row["name"]) for row in rows}


async def requests(conn: Conn) -> dict[str, datetime]:
    rows = await conn.fetch("SELECT job, requested_at FROM job_requests")
    return {row["job"]: row["requested_at"] for row in rows}


async def queues(conn: Conn, now: datetime) -> Queues:
    row = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM facts WHERE handled_at IS NULL) AS facts,"
        " (SELECT at FROM facts WHERE handled_at IS NULL ORDER BY id LIMIT 1) AS oldest_fact,"
        " (SELECT count(*) FROM facts WHERE handled_at IS NULL AND attempts > 0) AS retried_facts,"
        " (SELECT count(*) FROM calendar_connections WHERE due_at <= $1) AS calendars_due,"
        " (SELECT count(*) FROM reminders WHERE status = 'planned' AND due_at <= $1) AS reminders_due",
        now,
    )
    assert row is not None  # noqa: S101 - a select without FROM always returns a row
    waiting = await conn.fetch(
        "SELECT channel, status, count(*) AS count, min(created_at) AS oldest FROM notifications"
        " WHERE status IN ('pending', 'retrying', 'sending') GROUP BY channel, status ORDER BY channel, status"
    )
    return Queues(**row, messages=tuple(Waiting(**it) for it in waiting))


async def dead_kinds(conn: Conn) -> list[DeadKind]:
    rows = await conn.fetch(
        "SELECT 'facts' AS what, f.kind, NULL AS channel, count(DISTINCT f.id) AS count"
        " FROM fact_reactions r JOIN facts f ON f.id = r.fact_id WHERE r.error IS NOT NULL GROUP BY f.kind"
        " UNION ALL SELECT 'messages', kind, channel, count(*) FROM notifications WHERE status = 'dead'"
        " GROUP BY kind, channel ORDER BY 1, 2, 3"
    )
    return [DeadKind(**row) for row in rows]


async def dead_messages(conn: Conn, before: UUID | None, limit: int) -> list[DeadMessage]:
    rows = await conn.fetch(
        f"SELECT {_MESSAGE} FROM notifications WHERE status = 'dead' AND ($1::uuid IS NULL OR id < $1)"
        " ORDER BY id DESC LIMIT $2",
        before, limit,
    )  # fmt: skip
    return [DeadMessage(**row) for row in rows]


async def dead_message(conn: Conn, message_id: UUID) -> DeadMessage | None:
    """Locked until the transaction ends."""
    row = await conn.fetchrow(
        f"SELECT {_MESSAGE} FROM notifications WHERE id = $1 AND status = 'dead' FOR UPDATE", message_id
    )
    return DeadMessage(**row) if row else None


async def revive_messages(conn: Conn, ids: list[UUID]) -> int:
    """Dead messages again from the start, at once; how many. Nothing that was sent is touched."""
    tag = await conn.execute(
        "UPDATE notifications SET status = 'pending', attempts = 0, next_attempt_at = to_timestamp(0),"
        " sending_since = NULL WHERE id = ANY ($1::uuid[]) AND status = 'dead'",
        ids,
    )
    return rows_affected(tag)


async def dead_message_ids(conn: Conn, kind: str, channel: str | None, limit: int) -> list[UUID]:
    rows = await conn.fetch(
        "SELECT id FROM notifications WHERE status = 'dead' AND kind = $1 AND ($2::text IS NULL OR channel = $2)"
        " ORDER BY id LIMIT $3 FOR UPDATE",
        kind, channel, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def discard_message(conn: Conn, message_id: UUID) -> None:
    """It will never be sent; what was wrong with it stays written on it."""
    await conn.execute("UPDATE notifications SET status = 'lapsed' WHERE id = $1", message_id)


async def dead_fact_ids(conn: Conn, kind: str, limit: int) -> list[int]:
    rows = await conn.fetch(
        "SELECT f.id FROM facts f WHERE f.kind = $1 AND EXISTS"
        " (SELECT FROM fact_reactions r WHERE r.fact_id = f.id AND r.error IS NOT NULL) ORDER BY f.id LIMIT $2",
        kind, limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def dead_fact(conn: Conn, fact_id: int) -> dict[str, Any] | None:
    """The fact with the errors of its reactions, locked; None when none was given up."""
    row = await conn.fetchrow(
        "SELECT id, kind, session_id, at, data FROM facts WHERE id = $1 FOR UPDATE", fact_id
    )
    errors = await conn.fetch(
        "SELECT reaction, error FROM fact_reactions WHERE fact_id = $1 AND error IS NOT NULL", fact_id
    )
    if row is None or not errors:
        return None
    return {
        "kind": row["kind"],
        "session_id": str(row["session_id"]) if row["session_id"] else None,
        "at": row["at"].isoformat(),
        "data": row["data"],
        "errors": {it["reaction"]: it["error"] for it in errors},
    }


async def discard_fact(conn: Conn, fact_id: int) -> None:
    """Its reactions count as done: nobody tries them again."""
    await conn.execute(
        "UPDATE fact_reactions SET error = NULL WHERE fact_id = $1 AND error IS NOT NULL", fact_id
    )


async def pause(conn: Conn, job: str, actor_id: UUID, now: datetime) -> bool:
    row = await conn.fetchrow(
        "INSERT INTO job_pauses (job, paused_at, paused_by) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING job",
        job, now, actor_id,
    )  # fmt: skip
    return row is not None


async def resume(conn: Conn, job: str) -> bool:
    return await conn.fetchrow("DELETE FROM job_pauses WHERE job = $1 RETURNING job", job) is not None


async def request(conn: Conn, job: str, actor_id: UUID, now: datetime) -> bool:
    """False when somebody has asked for it and no worker has come to it yet."""
    row = await conn.fetchrow(
        "INSERT INTO job_requests (job, requested_at, requested_by) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING RETURNING job",
        job, now, actor_id,
    )  # fmt: skip
    return row is not None


async def note(
    conn: Conn,
    actor_id: UUID,
    verb: str,
    subject: str,
    now: datetime,
    *,
    reason: str = "",
    before: object = None,
) -> None:
    await conn.execute(
        "INSERT INTO job_audit (id, actor_id, verb, subject, reason, before, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new_id(), actor_id, verb, subject, reason, before or {}, now,
    )  # fmt: skip


async def deeds(conn: Conn, before: tuple[datetime, UUID] | None, limit: int) -> list[Deed]:
    rows = await conn.fetch(
        "SELECT a.id, a.actor_id, u.name AS actor, a.verb, a.subject, a.reason, a.before, a.at"
        " FROM job_audit a JOIN users u ON u.id = a.actor_id"
        " WHERE $1::timestamptz IS NULL OR (a.at, a.id) < ($1, $2::uuid) ORDER BY a.at DESC, a.id DESC LIMIT $3",
        before and before[0], before and before[1], limit,
    )  # fmt: skip
    return [Deed(**row) for row in rows]
