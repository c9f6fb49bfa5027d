"""Export the ledger day by day, and hand the files out."""

from __future__ import annotations

from datetime import date
from functools import partial

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import FieldError, Invalid, NotFound
from server.base.log import logger
from server.base.paging import Page, page_of, page_size
from server.exports import model, store
from server.exports.model import Export

log = logger(__name__)


async def export_due(ctx: Context) -> int:
    """Write the file of every business day that has ended and has none; returns the transfers exported.

    A transfer that was committed after the export of its day (dated 23:59, committed at 00:31) is in the next one: what
    counts is that no export has it, not its date. One transaction per day; again, it finds nothing to do.
    """
    now, zone = ctx.clock.now(), ctx.settings.timezone
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        first, last = await store.bounds(conn)
    count = 0
    for day in model.days_to_export(first, last, now, zone):
        count += await in_transaction(ctx.pool, partial(_export_in, ctx, day))
    return count


async def _export_in(ctx: Context, day: date, conn: Conn) -> int:
    await store.lock(conn)
    ends_at = model.day_end(day, ctx.settings.timezone)
    postings = await store.unexported(conn, ends_at)
    body = model.file_of(postings)
    made = Export(
        day=day,
        zone=str(ctx.settings.timezone),
        ends_at=ends_at,
        transfers=len(postings),
        tokens=sum(it.amount for it in postings),
        sha256=model.checksum(body),
        created_at=ctx.clock.now(),
    )
    if not await store.insert(conn, made, body, [it.transfer_id for it in postings]):
        return 0
    log.info("transactions_exported", day=day.isoformat(), transfers=made.transfers, sha256=made.sha256)
    return made.transfers


async def listed(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Export]:
    """The exports, the newest first. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    before = None
    if cursor is not None:
        try:
            before = date.fromisoformat(cursor)
        except ValueError:
            fault = FieldError("cursor", "bad_cursor", "Use the next_cursor of the page before, unchanged.")
            raise Invalid([fault]) from None
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.listed(conn, before, size + 1)
    return page_of(found, size, lambda it: it.day.isoformat())


async def file(ctx: Context, day: str) -> tuple[Export, str]:
    """The export of a day (``2026-03-02``) with its file. Raises ``NotFound("export_not_found")``."""
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        raise NotFound("export_not_found", "There is no export of such a day.") from None
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.file(conn, wanted)
    if found is None:
        raise NotFound("export_not_found", "There is no export of such a day.")
    return found
