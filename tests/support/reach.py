"""Verified numbers and devices without the codes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.base.ids import new_id


async def give_number(conn: Conn, user_id: UUID, channel: str, address: str, now: datetime) -> UUID:
    """A destination as if its owner had typed the code."""
    destination_id = new_id()
    await conn.execute(
        "INSERT INTO destinations (id, user_id, channel, address, created_at, verified_at)"
        " VALUES ($1, $2, $3, $4, $5, $5)",
        destination_id, user_id, channel, address, now,
    )  # fmt: skip
    return destination_id
