"""Job runs in PostgreSQL, and what jobs and reactions need to know about a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from server.base.db import Conn
from server.base.ids import new_id

# ---------------------------------------------------------------- one run of one job


async def try_lock(conn: Conn, job: str) -> bool:
    """Become the only runner of the job, for as long as this connection lives or until `unlock`.

    A killed runner loses the lock with its connection, so the next one need not wait for any lease.
    """
    locked: bool = await conn.fetchval(
        "SELECT pg_try_advisory_lock(hashtext('visavis.job'), hashtext($1))", job
    )
    return locked


async def wait_lock(conn: Conn, job: str, timeout: float) -> None:
    """As `try_lock`, waiting up to ``timeout`` seconds for the present runner. Raises ``TimeoutError``."""
    await conn.execute("SELECT pg_advisory_lock(hashtext('visavis.job'), hashtext($1))", job, timeout=timeout)


async def unlock(conn: Conn, job: str) -> None:
    await conn.execute("SELECT pg_advisory_unlock(hashtext('visavis.job'), hashtext($1))", job)


async def begin_run(
    conn: Conn,
    job: str,
    scheduled_for: datetime,
    now: datetime,
    *,
    again: bool,
    retry_after: timedelta,
    missed: int = 0,
    by_hand: bool = False,
) -> UUID | None:
    """Open the run of that tick; None when it was finished before and is not to be done ``again``.

    An unfinished run found here belongs to a dead process (we hold the job's lock) and is taken over. A failed one is
    repeated after ``retry_after``. ``by_hand`` marks it as a run that somebody wished for; such a run is no tick of the
    schedule, which runs it (again) when its own tick is that instant.
    """
    run_id: UUID | None = await conn.fetchval(
        "WITH before AS (SELECT result, finished_at - started_at AS took FROM job_runs"
        "  WHERE job = $2 AND scheduled_for = $3 AND finished_at IS NOT NULL),"
        " begun AS ("
        "INSERT INTO job_runs AS r (id, job, scheduled_for, started_at, heartbeat_at, by_hand, missed_ticks)"
        " VALUES ($1, $2, $3, $4, $4, $5, $7)"
        " ON CONFLICT (job, scheduled_for) DO UPDATE SET started_at = $4, heartbeat_at = $4, finished_at = NULL,"
        " result = NULL, error = NULL, by_hand = r.by_hand AND $5, attempts = r.attempts + 1,"
        " missed_ticks = CASE WHEN r.by_hand THEN $7 ELSE r.missed_ticks END"
        " WHERE $8 OR (r.by_hand AND NOT $5) OR r.finished_at IS NULL OR (r.result = 'failed' AND r.finished_at <= $6)"
        " RETURNING id),"
        # What is run again goes on counting, else a counter would fall.
        " counted AS (INSERT INTO job_totals AS t SELECT $2, before.result, 1, before.took FROM before, begun"
        "  ON CONFLICT (job, result) DO UPDATE SET runs = t.runs + 1, took = t.took + excluded.took)"
        " SELECT id FROM begun",
        new_id(), job, scheduled_for, now, by_hand or again, now - retry_after, missed, again,
    )  # fmt: skip
    return run_id


async def bury_runs(conn: Conn, job: str, before: datetime, now: datetime) -> None:
    """Close the runs of earlier ticks whose process died, as we know who hold the job's lock: a later tick does what
    they left undone, and nobody comes back to them."""
    await conn.execute(
        "UPDATE job_runs SET result = 'failed', error = 'its process died', finished_at = $3"
        " WHERE job = $1 AND scheduled_for < $2 AND result IS NULL",
        job, before, now,
    )  # fmt: skip


async def skip_run(conn: Conn, job: str, scheduled_for: datetime, now: datetime, missed: int) -> None:
    """Note that the tick came too late to be of use, and how many before it were passed over."""
    await conn.execute(
        "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result, missed_ticks)"
        " VALUES ($1, $2, $3, $4, $4, $4, 'skipped', $5) ON CONFLICT (job, scheduled_for) DO NOTHING",
        new_id(), job, scheduled_for, now, missed,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job's schedule has come: its last tick begun, and those to be tried again, oldest first."""

    last: datetime | None
    unfinished: list[datetime]
    paused: bool
    requested_at: datetime | None  # an administrator wants it run now


async def progress(conn: Conn, job: str, now: datetime, most_attempts: int) -> Progress:
    """``now`` leaves out ticks of another time (somebody's clock was ahead)."""
    row = await conn.fetchrow(
        "SELECT (SELECT max(scheduled_for) FROM job_runs WHERE job = $1 AND scheduled_for <= $2 AND NOT by_hand)"
        ' AS "last",'
        " ARRAY(SELECT scheduled_for FROM job_runs WHERE job = $1 AND scheduled_for <= $2 AND NOT by_hand"
        " AND result IS DISTINCT FROM 'ok' AND result IS DISTINCT FROM 'skipped' AND attempts < $3"
        " ORDER BY scheduled_for DESC LIMIT 400) AS unfinished,"
        " EXISTS (SELECT FROM job_pauses WHERE job = $1) AS paused,"
        " (SELECT requested_at FROM job_requests WHERE job = $1) AS requested_at",
        job, now, most_attempts,
    )  # fmt: skip
    assert row is not None  # noqa: S101 - a select without FROM always returns a row
    return Progress(row["last"], sorted(row["unfinished"]), row["paused"], row["requested_at"])


async def is_finished(conn: Conn, job: str, scheduled_for: datetime) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM job_runs WHERE job = $1 AND scheduled_for = $2 AND finished_at IS NOT NULL)",
        job, scheduled_for,
    )  # fmt: skip
    return found


async def wished(conn: Conn) -> list[str]:
    """The jobs that somebody wants run now."""
    return [row["job"] for row in await conn.fetch("SELECT job FROM job_requests")]


async def end_request(conn: Conn, job: str, requested_at: datetime) -> None:
    await conn.execute("DELETE FROM job_requests WHERE job = $1 AND requested_at = $2", job, requested_at)


async def heartbeat(conn: Conn, run_id: UUID, now: datetime) -> None:
    await conn.execute("UPDATE job_runs SET heartbeat_at = $2 WHERE id = $1", run_id, now)


async def finish_run(conn: Conn, run_id: UUID, now: datetime, rows: int, error: str | None) -> None:
    """Close the run: ``ok`` without an ``error``, else ``failed``. Rows of repeated runs of one tick add up."""
    await conn.execute(
        "UPDATE job_runs SET finished_at = $2, heartbeat_at = $2, rows_touched = rows_touched + $3,"
        " result = CASE WHEN $4::text IS NULL THEN 'ok' ELSE 'failed' END, error = $4 WHERE id = $1",
        run_id, now, rows, error,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobFigures:
    """What `/metrics` tells of a job: runs by result and seconds they took, of all times; lateness of the last one in
    seconds, None when retention has removed every run (a job that is no more)."""

    job: str
    ok: int
    failed: int
    skipped: int
    seconds: float
    last_lateness: float | None


async def figures(conn: Conn) -> list[JobFigures]:
    """Job metrics out of the table: the worker serves nothing itself, so the web process asks here."""
    # Every minute's runs of 100 days are most of a million rows: counted without sorting them.
    rows = await conn.fetch(
        "WITH counted AS ("
        " SELECT job, result, count(*) AS runs, sum(finished_at - started_at) AS took"
        " FROM job_runs WHERE finished_at IS NOT NULL GROUP BY job, result"
        " UNION ALL SELECT job, result, runs, took FROM job_totals)"
        " SELECT job, coalesce(sum(runs) FILTER (WHERE result = 'ok'), 0)::bigint AS ok,"
        " coalesce(sum(runs) FILTER (WHERE result = 'failed'), 0)::bigint AS failed,"
        " coalesce(sum(runs) FILTER (WHERE result = 'skipped'), 0)::bigint AS skipped,"
        " extract(epoch FROM sum(took))::float8 AS seconds,"
        " (SELECT lateness_seconds FROM job_runs l WHERE l.job = c.job AND l.finished_at IS NOT NULL"
        "  ORDER BY l.scheduled_for DESC LIMIT 1) AS last_lateness"
        " FROM counted c GROUP BY job ORDER BY job"
    )
    return [JobFigures(**row) for row in rows]


async def reply_figures(conn: Conn) -> dict[str, int]:
    """Replies of people by what became of them, in all; those of which nothing has become yet do not count."""
    rows = await conn.fetch(
        "SELECT result, sum(replies)::bigint AS number FROM ("
        " SELECT result, count(*) AS replies"
        " FROM provider_events WHERE kind = 'reply' AND result IS NOT NULL GROUP BY 1"
        " UNION ALL SELECT result, replies FROM reply_totals) AS counted GROUP BY result"
    )
    return {row["result"]: row["number"] for row in rows}


# ---------------------------------------------------------------- reminders


@dataclass(frozen=True, slots=True)
class Agreed:
    """``agreed_at``: since when the session has this time."""

    start: datetime
    revision: int
    agreed_at: datetime


async def agreed_session(conn: Conn, session_id: UUID) -> Agreed | None:
    """None when nothing is agreed (any more) that could be reminded of."""
    row = await conn.fetchrow(
        "SELECT s.starts_at AS start, b.revision, coalesce((SELECT max(at) FROM facts WHERE session_id = s.id"
        " AND kind IN ('session_published', 'session_moved')), b.updated_at) AS agreed_at"
        " FROM sessions s JOIN bookings b ON b.session_id = s.id"
        " WHERE s.id = $1 AND s.status = 'scheduled' AND b.status = 'approved'",
        session_id,
    )
    return Agreed(**row) if row else None


async def plan_reminders(conn: Conn, rows: Sequence[tuple[UUID, UUID, int, int, datetime]]) -> None:
    """(id, session, revision, lead in seconds, due); one that exists stays as it is."""
    await conn.executemany(
        "INSERT INTO reminders (id, session_id, revision, lead_seconds, due_at, status)"
        " VALUES ($1, $2, $3, $4, $5, 'planned') ON CONFLICT (session_id, revision, lead_seconds) DO NOTHING",
        rows,
    )


async def cancel_reminders(conn: Conn, session_id: UUID, now: datetime, *, keep: int | None) -> None:
    """Those of other revisions than ``keep``, as far as they are still to come."""
    await conn.execute(
        "UPDATE reminders SET status = 'cancelled', settled_at = $2"
        " WHERE session_id = $1 AND status = 'planned' AND revision IS DISTINCT FROM $3",
        session_id, now, keep,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """A reminder that is due."""

    id: UUID
    session_id: UUID
    revision: int
    lead_seconds: int
    due_at: datetime


async def claim_reminders(
    conn: Conn, now: datetime, after: tuple[datetime, UUID], limit: int
) -> list[Planned]:
    """Lock up to ``limit`` due reminders behind (due, id) ``after``, skipping those another sweep holds."""
    rows = await conn.fetch(
        "SELECT id, session_id, revision, lead_seconds, due_at FROM reminders"
        " WHERE status = 'planned' AND due_at <= $1 AND (due_at, id) > ($2, $3)"
        " ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED",
        now, *after, limit,
    )  # fmt: skip
    return [Planned(**row) for row in rows]


async def settle_reminders(conn: Conn, settled: Sequence[tuple[UUID, str]], now: datetime) -> None:
    """(reminder, status)"""
    await conn.execute(
        "UPDATE reminders r SET status = s.status, settled_at = $3"
        " FROM unnest($1::uuid[], $2::text[]) AS s (id, status) WHERE r.id = s.id",
        [reminder_id for reminder_id, _ in settled], [status for _, status in settled], now,
    )  # fmt: skip


async def without_reminders(conn: Conn, after: datetime, until: datetime) -> list[UUID]:
    """Sessions that start in (after, until] and have no reminder of their present revision."""
    rows = await conn.fetch(
        "SELECT s.id FROM sessions s JOIN bookings b ON b.session_id = s.id"
        " WHERE s.status = 'scheduled' AND b.status = 'approved' AND s.starts_at > $1 AND s.starts_at <= $2"
        " AND NOT EXISTS (SELECT FROM reminders r WHERE r.session_id = s.id AND r.revision = b.revision)"
        " ORDER BY s.starts_at, s.id",
        after, until,
    )  # fmt: skip
    return [row["id"] for row in rows]


# ---------------------------------------------------------------- retention


class Old(StrEnum):
    """A table, and which of its rows are old at an instant."""

    IDEMPOTENCY_KEYS = "idempotency_keys WHERE created_at < $1"
    REFRESH_TOKENS = "refresh_tokens WHERE expires_at < $1"
    JOB_RUNS = "job_runs WHERE finished_at < $1 AND scheduled_for < $1"
    USED_LINKS = "used_links WHERE used_at < $1"
    DESTINATION_CODES = "destination_codes WHERE sent_at < $1"
    WEBHOOKS = "provider_events WHERE received_at < $1"
    VISITS = "room_visits WHERE last_seen_at < $1"
    # What is still on its way or was given up stays, and so does what the development inbox shows.
    MESSAGES = (
        "notifications n WHERE created_at < $1 AND status IN ('sent', 'delivered', 'failed', 'lapsed')"
        " AND NOT EXISTS (SELECT FROM dev_inbox d WHERE d.id = n.id)"
    )
    FACTS = (
        "facts f WHERE handled_at < $1"
        " AND NOT EXISTS (SELECT FROM fact_reactions r WHERE r.fact_id = f.id AND r.error IS NOT NULL)"
    )


# What `/metrics` counts goes on being counted: the statement that removes rows adds them to the totals.
_COUNTED = {
    Old.JOB_RUNS: (
        "INSERT INTO job_totals AS t SELECT job, result, count(*), sum(finished_at - started_at)"
        " FROM gone GROUP BY job, result"
        " ON CONFLICT (job, result) DO UPDATE SET runs = t.runs + excluded.runs, took = t.took + excluded.took"
    ),
    Old.WEBHOOKS: (
        "INSERT INTO reply_totals AS t SELECT result, count(*)"
        " FROM gone WHERE kind = 'reply' AND result IS NOT NULL GROUP BY 1"
        " ON CONFLICT (result) DO UPDATE SET replies = t.replies + excluded.replies"
    ),
}


async def remove_old(conn: Conn, old: Old, before: datetime, limit: int) -> int:
    """Delete up to ``limit`` rows, and count them where they are counted; returns how many."""
    table = old.split(" ", 1)[0]
    counted = f", counted AS ({_COUNTED[old]})" if old in _COUNTED else ""
    removed: int = await conn.fetchval(
        f"WITH gone AS (DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {old} LIMIT $2) RETURNING *){counted}"
        " SELECT count(*) FROM gone",
        before, limit,
    )  # fmt: skip
    return removed
