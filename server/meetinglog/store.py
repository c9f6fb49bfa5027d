"""The partitioned table of the meeting log: rows, and the partitions they live in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, rows_affected
from server.meetinglog.model import DEFAULT, Event, Month

_COLUMNS = "fact_id, part, session_id, kind, at, user_id, peer_id, detail"


async def write(conn: Conn, events: Sequence[Event]) -> None:
    """Add the lines; one that is there stays as it is. A month without a partition lands in the default one."""
    await conn.executemany(
        f"INSERT INTO session_events ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        [
            (e.fact_id, e.part, e.session_id, e.kind, e.at, e.user_id, e.peer_id, e.detail)
            for e in events
        ],
    )  # fmt: skip


async def of_session(conn: Conn, session_id: UUID) -> list[Event]:
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM session_events WHERE session_id = $1 ORDER BY at, fact_id, part", session_id
    )
    return [Event(**row) for row in rows]


async def names(conn: Conn, user_ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = await conn.fetch("SELECT id, name FROM users WHERE id = ANY ($1::uuid[])", user_ids)
    return {row["id"]: row["name"] for row in rows}


# ---------------------------------------------------------------- partitions


async def lock_maintenance(conn: Conn) -> None:
    """One step of maintenance at a time, until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('visavis.partitions'), 0)")


async def partitions(conn: Conn) -> list[str]:
    """The tables that are part of the log, the default one included."""
    rows = await conn.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'session_events'::regclass ORDER BY c.relname"
    )
    return [row["relname"] for row in rows]


async def stray_months(conn: Conn) -> list[Month]:
    """Months that have rows in the default partition."""
    rows = await conn.fetch(
        f"SELECT DISTINCT date_trunc('month', at, 'UTC') AS month FROM {DEFAULT} ORDER BY month"
    )
    return [Month.of(row["month"]) for row in rows]


async def gather(conn: Conn, month: Month) -> int:
    """Move the month's rows out of the default partition into a table of their own; how many. In a transaction.

    The table is made where there is none (a detached one may be there still). Nobody can write meanwhile: otherwise a
    row might be on its way into the default partition, which must have none of the month when the table is attached.
    """
    # In the order in which an INSERT takes them, so that none can meet us halfway.
    await conn.execute(f"LOCK TABLE session_events, {DEFAULT} IN ACCESS EXCLUSIVE MODE")
    await conn.execute(
        f"CREATE TABLE IF NOT EXISTS {month.partition}"
        " (LIKE session_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    moved = await conn.execute(
        f"WITH gone AS (DELETE FROM {DEFAULT} WHERE at >= $1 AND at < $2 RETURNING {_COLUMNS})"
        f" INSERT INTO {month.partition} ({_COLUMNS}) SELECT {_COLUMNS} FROM gone ON CONFLICT DO NOTHING",
        month.start, month.end,
    )  # fmt: skip
    return rows_affected(moved)


async def attach(conn: Conn, month: Month) -> None:
    """Make the month's table part of the log, after `gather` in the same transaction."""
    await conn.execute(
        f"ALTER TABLE session_events ATTACH PARTITION {month.partition}"
        f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
    )
    await conn.execute("DELETE FROM detached_partitions WHERE name = $1", month.partition)


async def detach(conn: Conn, month: Month) -> None:
    """Take the month out of the log; the table stays."""
    await conn.execute(f"ALTER TABLE session_events DETACH PARTITION {month.partition}")


async def note_detached(conn: Conn, month: Month, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO detached_partitions (name, starts_at, ends_at, detached_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (name) DO UPDATE SET detached_at = $4, dropped_at = NULL",
        month.partition, month.start, month.end, now,
    )  # fmt: skip


async def detached_before(conn: Conn, before: datetime) -> list[Month]:
    """Months taken out by then and not dropped yet."""
    rows = await conn.fetch(
        "SELECT starts_at FROM detached_partitions"
        " WHERE dropped_at IS NULL AND detached_at <= $1 ORDER BY starts_at",
        before,
    )
    return [Month.of(row["starts_at"]) for row in rows]


async def drop(conn: Conn, month: Month, now: datetime) -> None:
    """Drop a detached table for good."""
    await conn.execute(f"DROP TABLE IF EXISTS {month.partition}")
    await conn.execute("UPDATE detached_partitions SET dropped_at = $2 WHERE name = $1", month.partition, now)
