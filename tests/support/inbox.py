"""Messages in somebody's inbox, without the story that leads to them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.base.db import Pool
from server.base.ids import new_id
from server.notifications import store


async def put(
    pool: Pool, user_id: UUID, now: datetime, *subjects: str, url: str | None = None, body: str = ""
) -> list[UUID]:
    """As the worker writes them, each in a transaction of its own; their ids in order."""
    ids = []
    async with pool.acquire() as conn:
        for subject in subjects:
            key = str(new_id())
            assert await store.insert(
                conn, dedup_key=key, session_id=None, kind="reminder", channel="in_app", recipient_id=user_id,
                role="mentee", address="", subject=subject, body=body, calendar=None, now=now, url=url, there=True,
            )  # fmt: skip
            ids.append(await conn.fetchval("SELECT id FROM notifications WHERE dedup_key = $1", key))
    return ids
