"""The inbox in PostgreSQL: the messages of channel ``in_app``, which server/notifications writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, rows_affected
from server.inbox.model import MOST_COUNTED, Item

_ITEM = "id, kind, subject, body, url, session_id, created_at, read_at"


async def unread(conn: Conn, user_id: UUID) -> int:
    """Counted up to MOST_COUNTED: nobody needs to know more, and the count stays cheap."""
    count: int = await conn.fetchval(
        "SELECT count(*) FROM (SELECT 1 FROM notifications"
        " WHERE recipient_id = $1 AND channel = 'in_app' AND read_at IS NULL LIMIT $2) counted",
        user_id, MOST_COUNTED,
    )  # fmt: skip
    return count


async def page(conn: Conn, user_id: UUID, before: UUID | None, limit: int) -> list[Item]:
    """Newest first."""
    rows = await conn.fetch(
        f"SELECT {_ITEM} FROM notifications WHERE recipient_id = $1 AND channel = 'in_app'"
        " AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        user_id, before, limit,
    )  # fmt: skip
    return [Item(**row) for row in rows]


async def item(conn: Conn, user_id: UUID, item_id: UUID) -> Item | None:
    row = await conn.fetchrow(
        f"SELECT {_ITEM} FROM notifications WHERE id = $1 AND recipient_id = $2 AND channel = 'in_app'",
        item_id, user_id,
    )  # fmt: skip
    return Item(**row) if row is not None else None


async def mark_read(conn: Conn, user_id: UUID, ids: Sequence[UUID], now: datetime) -> int:
    """How many were unread."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET read_at = $3 WHERE id = ANY ($2) AND recipient_id = $1 AND channel = 'in_app'"
            " AND read_at IS NULL",
            user_id, ids, now,
        )
    )  # fmt: skip


async def mark_all_read(conn: Conn, user_id: UUID, until: UUID | None, now: datetime) -> int:
    """How many were unread, of all or of those up to ``until``."""
    return rows_affected(
        await conn.execute(
            "UPDATE notifications SET read_at = $3 WHERE recipient_id = $1 AND channel = 'in_app' AND read_at IS NULL"
            " AND ($2::uuid IS NULL OR id <= $2)",
            user_id, until, now,
        )
    )  # fmt: skip
