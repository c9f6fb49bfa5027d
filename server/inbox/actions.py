"""Look into one's inbox, page through it, and mark what was read. Everything here is about the caller's own."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import FieldError, Invalid, NotFound
from server.base.paging import Page, decode_cursor, encode_cursor, page_of, page_size
from server.inbox import store
from server.inbox.model import MAX_IDS, WINDOW, Item, Look

CHANNEL = "visavis_inbox"  # of NOTIFY: the recipient's id, at the commit of whatever changes an inbox


async def look(ctx: Context, user_id: UUID) -> Look:
    """The unread count and the newest items, of one moment."""
    async with (
        ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        return Look(await store.unread(conn, user_id), tuple(await store.page(conn, user_id, None, WINDOW)))


async def unread(ctx: Context, user_id: UUID) -> int:
    """How many are unread, up to MOST_COUNTED."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.unread(conn, user_id)


async def page(ctx: Context, user_id: UUID, cursor: str | None, limit: int | None = None) -> Page[Item]:
    """Newest first. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    before = _position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.page(conn, user_id, before, size + 1)
    return page_of(found, size, lambda item: encode_cursor(item.id))


def _position(cursor: str | None) -> UUID | None:
    if cursor is None:
        return None
    [last] = decode_cursor(cursor, UUID)
    assert isinstance(last, UUID)  # noqa: S101 - decode_cursor made it so
    return last


async def mark_read(ctx: Context, user_id: UUID, ids: Sequence[UUID]) -> int:
    """Mark these as read and return how many were not; ids of somebody else's are passed over. Twice does no harm.

    Raises ``Invalid`` for more than MAX_IDS.
    """
    if len(ids) > MAX_IDS:
        raise Invalid([FieldError("ids", "too_many", f"At most {MAX_IDS} at once.")])
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.mark_read(conn, user_id, ids, ctx.clock.now())


async def mark_all_read(ctx: Context, user_id: UUID, until: UUID | None = None) -> int:
    """Mark all as read, or all up to the one that was seen last: what came meanwhile stays unread."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.mark_all_read(conn, user_id, until, ctx.clock.now())


async def opened(ctx: Context, user_id: UUID, item_id: UUID) -> Item:
    """The message, read from now on. Raises ``NotFound("message_not_found")``, also for somebody else's."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn, conn.transaction():
        found = await store.item(conn, user_id, item_id)
        if found is None:
            raise NotFound("message_not_found", "There is no such message in your inbox.")
        if found.read_at is None:
            await store.mark_read(conn, user_id, [item_id], ctx.clock.now())
    return found
