"""Messages in somebody's inbox, without the story that leads to them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Pool
from server.base.ids import new_id
from server.notifications import store
from server.notifications.model import Draft


async def put(
    pool: Pool, user_id: UUID, now: datetime, *subjects: str, url: str | None = None, body: str = ""
) -> list[UUID]:
    """As the worker writes them, each in a transaction of its own; their ids in order."""
    ids = []
    async with pool.acquire() as conn:
        for subject in subjects:
            key = str(new_id())
            draft = Draft(
                key, None, "reminder", "in_app", user_id, "mentee", "", subject, body, url=url, there=True
            )
            assert await store.insert(conn, [draft], now)
            ids.append(await conn.fetchval("SELECT id FROM notifications WHERE dedup_key = $1", key))
    return ids
