"""Say something in a session's room, and read what was said."""

from __future__ import annotations

from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Invalid, NotFound
from server.chat import model, store
from server.chat.model import PAGE, ChatMessage, History


async def say(ctx: Context, session_id: UUID, user_id: UUID, client_id: str, text: str) -> ChatMessage:
    """Store a message in the room the session meets in and return it with its number; the same ``client_id`` again
    returns the stored one.

    Whether the person belongs into the room, and whether the room is still open, is the caller's check.
    Raises ``Invalid`` and ``NotFound("session_not_found")``.
    """
    if found := model.faults(client_id, text):
        raise Invalid(found, "This message cannot be sent.")

    async def work(conn: Conn) -> ChatMessage:
        counter = await store.lock_counter(conn, session_id)
        if counter is None:
            raise NotFound("session_not_found", "There is no such session.")
        room_id, last = counter
        message = await store.by_client_id(conn, room_id, user_id, client_id)
        if message is None:
            await store.append(conn, room_id, last + 1, user_id, client_id, text, ctx.clock.now())
            message = await store.by_client_id(conn, room_id, user_id, client_id)
        if message is None:  # the join with users found nobody
            raise NotFound("user_not_found", "There is no such person.")
        return message

    return await in_transaction(ctx.pool, work)


async def recent(ctx: Context, session_id: UUID, before: int | None = None, limit: int = PAGE) -> History:
    """The newest ``limit`` messages (at most 50) with a number below ``before``, in order."""
    limit = max(1, min(limit, PAGE))
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.newest(conn, session_id, before, limit + 1)
    return History(items=tuple(reversed(found[:limit])), more=len(found) > limit)
