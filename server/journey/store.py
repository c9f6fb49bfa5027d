"""Journey reports in PostgreSQL, and what they are written from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from datetime import date, datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.journey.model import Line, Report

_REPORT = "month, zone, starts_at, ends_at, created_at"
_LINE = "mentee_id, name, booked, held, missed, missed_by_mentor, cancelled, seconds, tokens, mentors, next_session_at"


async def last_month(conn: Conn) -> date | None:
    found: date | None = await conn.fetchval("SELECT max(month) FROM journey_reports")
    return found


async def insert_report(conn: Conn, report: Report) -> bool:
    """False when there is one of that month; whoever writes the same one waits here until we are through."""
    row = await conn.fetchrow(
        f"INSERT INTO journey_reports ({_REPORT}) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (month) DO NOTHING RETURNING month",
        *astuple(report),
    )
    return row is not None


async def journeys(conn: Conn, start: datetime, end: datetime, now: datetime) -> list[Line]:
    """Every mentee who has an account, by name, with what started in [start, end)."""
    rows = await conn.fetch(
        "WITH month AS ("
        " SELECT b.mentee_id, b.mentor_id, b.session_id, b.status, s.outcome,"
        " extract(epoch FROM upper(b.during) - lower(b.during))::integer AS seconds"
        " FROM bookings b LEFT JOIN sessions s ON s.id = b.session_id"
        " WHERE lower(b.during) >= $1 AND lower(b.during) < $2 AND b.status <> 'hold'"
        " AND NOT EXISTS (SELECT FROM facts f WHERE f.session_id = b.session_id AND f.kind = 'hold_lapsed')"
        "), paid AS ("
        " SELECT m.mentee_id, sum(t.amount) AS tokens FROM month m JOIN transfers t ON t.session_id = m.session_id"
        " WHERE t.kind IN ('earning', 'fee') GROUP BY m.mentee_id"
        "), counted AS ("
        " SELECT m.mentee_id, count(*) AS booked, count(*) FILTER (WHERE outcome = 'completed') AS held,"
        " count(*) FILTER (WHERE outcome IN ('mentee_no_show', 'both_absent')) AS missed,"
        " count(*) FILTER (WHERE outcome = 'mentor_no_show') AS missed_by_mentor,"
        " count(*) FILTER (WHERE m.status IN ('cancelled', 'rejected', 'expired')) AS cancelled,"
        " coalesce(sum(seconds) FILTER (WHERE outcome = 'completed'), 0) AS seconds,"
        " array_agg(DISTINCT u.name ORDER BY u.name) FILTER (WHERE outcome = 'completed') AS mentors"
        " FROM month m JOIN users u ON u.id = m.mentor_id GROUP BY m.mentee_id"
        "), ahead AS ("
        " SELECT mentee_id, min(starts_at) AS next_session_at FROM sessions"
        " WHERE status = 'scheduled' AND starts_at > $3 GROUP BY mentee_id"
        ")"
        " SELECT u.id AS mentee_id, u.name, coalesce(booked, 0) AS booked, coalesce(held, 0) AS held,"
        " coalesce(missed, 0) AS missed, coalesce(missed_by_mentor, 0) AS missed_by_mentor,"
        " coalesce(cancelled, 0) AS cancelled, coalesce(seconds, 0) AS seconds,"
        " coalesce(tokens, 0)::bigint AS tokens, coalesce(mentors, '{}') AS mentors, next_session_at"
        " FROM users u LEFT JOIN counted c ON c.mentee_id = u.id LEFT JOIN paid p ON p.mentee_id = u.id"
        " LEFT JOIN ahead a ON a.mentee_id = u.id"
        " WHERE u.role = 'mentee' AND u.created_at < $2 AND (u.disabled_at IS NULL OR c.mentee_id IS NOT NULL)"
        " ORDER BY u.name, u.id",
        start, end, now,
    )  # fmt: skip
    return [_line(row) for row in rows]


def _line(row: Row) -> Line:
    return Line(**{**row, "mentors": tuple(row["mentors"])})


async def insert_lines(conn: Conn, month: date, lines: Sequence[Line]) -> None:
    await conn.executemany(
        f"INSERT INTO journey_lines (month, {_LINE}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        [
            (
                month, it.mentee_id, it.name, it.booked, it.held, it.missed, it.missed_by_mentor, it.cancelled,
                it.seconds, it.tokens, list(it.mentors), it.next_session_at,
            )
            for it in lines
        ],
    )  # fmt: skip


async def reports(conn: Conn) -> list[Report]:
    """The newest first."""
    rows = await conn.fetch(f"SELECT {_REPORT} FROM journey_reports ORDER BY month DESC")
    return [Report(**row) for row in rows]


async def lines(conn: Conn, month: date, after: tuple[str, UUID] | None, limit: int | None) -> list[Line]:
    """By name, behind (name, id) ``after``; all of them without a ``limit``."""
    rows = await conn.fetch(
        f"SELECT {_LINE} FROM journey_lines WHERE month = $1"
        " AND ($2::text IS NULL OR (name, mentee_id) > ($2, $3::uuid)) ORDER BY name, mentee_id LIMIT $4",
        month, after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [_line(row) for row in rows]


async def totals(conn: Conn, month: date) -> dict[str, int]:
    row = await conn.fetchrow(
        "SELECT count(*) AS mentees, coalesce(sum(booked), 0)::bigint AS booked,"
        " coalesce(sum(held), 0)::bigint AS held, coalesce(sum(missed), 0)::bigint AS missed,"
        " coalesce(sum(seconds), 0)::bigint AS seconds, coalesce(sum(tokens), 0)::bigint AS tokens"
        " FROM journey_lines WHERE month = $1",
        month,
    )
    assert row is not None  # noqa: S101 - an aggregate always returns a row
    return dict(row)
