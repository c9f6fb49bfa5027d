"""Browsers in PostgreSQL: destinations of channel ``push``, live once for each endpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, rows_affected
from server.base.ids import new_id

_ENDPOINT = "(CASE WHEN address LIKE '{%' THEN address::jsonb ->> 'endpoint' ELSE address END)"
_LIVE = "channel = 'push' AND ended_at IS NULL"


@dataclass(frozen=True, slots=True)
class Device:
    """A browser; ``label`` is what it called itself."""

    id: UUID
    user_id: UUID
    address: str
    label: str
    created_at: datetime


async def lock_endpoint(conn: Conn, endpoint: str) -> None:
    """Until the transaction ends: two tabs that subscribe the same browser come one after the other."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('visavis.push'), hashtext($1))", endpoint)


async def by_endpoint(conn: Conn, endpoint: str) -> Device | None:
    row = await conn.fetchrow(
        f"SELECT id, user_id, address, label, created_at FROM destinations WHERE {_LIVE} AND {_ENDPOINT} = $1",
        endpoint,
    )
    return Device(**row) if row is not None else None


async def insert(conn: Conn, user_id: UUID, address: str, label: str, now: datetime) -> Device:
    """It proves itself by being made in the person's own browser: nothing is left to verify."""
    device = Device(new_id(), user_id, address, label, now)
    await conn.execute(
        "INSERT INTO destinations (id, user_id, channel, address, label, created_at, verified_at)"
        " VALUES ($1, $2, 'push', $3, $4, $5, $5)",
        device.id, user_id, address, label, now,
    )  # fmt: skip
    return device


async def update(conn: Conn, device_id: UUID, address: str, label: str) -> None:
    await conn.execute(
        "UPDATE destinations SET address = $2, label = $3 WHERE id = $1", device_id, address, label
    )


async def end(conn: Conn, device_id: UUID, reason: str, now: datetime) -> None:
    await conn.execute(
        "UPDATE destinations SET ended_at = $3, ended_reason = $2 WHERE id = $1 AND ended_at IS NULL",
        device_id, reason, now,
    )  # fmt: skip


async def end_beyond(conn: Conn, user_id: UUID, most: int, now: datetime) -> int:
    """End the oldest browsers of a person beyond the ``most`` newest."""
    return rows_affected(
        await conn.execute(
            "UPDATE destinations SET ended_at = $3, ended_reason = 'too many' WHERE id IN (SELECT id FROM destinations"
            f" WHERE user_id = $1 AND {_LIVE} ORDER BY id DESC OFFSET $2)",
            user_id, most, now,
        )
    )  # fmt: skip


async def of_person(conn: Conn, user_id: UUID) -> list[Device]:
    """The newest first."""
    rows = await conn.fetch(
        "SELECT id, user_id, address, label, created_at FROM destinations"
        f" WHERE user_id = $1 AND {_LIVE} ORDER BY id DESC",
        user_id,
    )
    return [Device(**row) for row in rows]
