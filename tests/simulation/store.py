"""What the driver and the checker ask PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row


async def at_rest(conn: Conn, now: datetime, ticks: Mapping[str, datetime]) -> tuple[int, int, int]:
    """(facts due, messages due, jobs whose latest tick nobody has finished)"""
    row = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM facts WHERE handled_at IS NULL AND next_attempt_at <= $1),"
        " (SELECT count(*) FROM notifications WHERE status IN ('pending', 'retrying', 'sending')"
        "  AND next_attempt_at <= $1),"
        " (SELECT count(*) FROM unnest($2::text[], $3::timestamptz[]) AS t (job, tick) WHERE NOT EXISTS"
        "  (SELECT FROM job_runs r WHERE r.job = t.job AND r.scheduled_for = t.tick AND r.result IS NOT NULL))",
        now, list(ticks), list(ticks.values()),
    )  # fmt: skip
    assert row is not None
    return row[0], row[1], row[2]


async def all_runs(conn: Conn) -> Sequence[Row]:
    rows: Sequence[Row] = await conn.fetch(
        "SELECT job, scheduled_for, result, missed_ticks, by_hand, error FROM job_runs ORDER BY job, scheduled_for"
    )
    return rows


async def all_messages(conn: Conn) -> Sequence[Row]:
    rows: Sequence[Row] = await conn.fetch(
        "SELECT n.id, n.session_id, n.kind, n.channel, n.role, n.address, n.subject, n.status, n.error, n.created_at,"
        " n.expires_at, n.provider_message_id, b.topic FROM notifications n"
        " LEFT JOIN bookings b ON b.session_id = n.session_id"
    )
    return rows


async def unknown(conn: Conn, ids: Sequence[UUID]) -> set[UUID]:
    """Those of them that no message has."""
    rows = await conn.fetch("SELECT id FROM notifications WHERE id = ANY ($1)", ids)
    return set(ids) - {row["id"] for row in rows}


async def verdicts(conn: Conn) -> Mapping[str, str | None]:
    """Outcome by topic."""
    rows = await conn.fetch(
        "SELECT b.topic, s.outcome FROM bookings b LEFT JOIN sessions s ON s.id = b.session_id"
    )
    return {row["topic"]: row["outcome"] for row in rows}


async def balances(conn: Conn) -> Mapping[tuple[str, str], int]:
    """(kind of account, owner's address, empty for the house) -> tokens"""
    rows = await conn.fetch(
        "SELECT a.kind, coalesce(u.email, '') AS email, a.balance FROM accounts a"
        " LEFT JOIN users u ON u.id = a.owner_id"
    )
    return {(row["kind"], row["email"]): row["balance"] for row in rows}


async def dead(conn: Conn) -> tuple[int, int]:
    """(reactions given up, messages given up)"""
    row = await conn.fetchrow(
        "SELECT (SELECT count(*) FROM fact_reactions WHERE error IS NOT NULL),"
        " (SELECT count(*) FROM notifications WHERE status = 'dead')"
    )
    assert row is not None
    return row[0], row[1]
