"""Write the report of a month once, and show it."""

from __future__ import annotations

from datetime import date
from functools import partial
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import NotFound
from server.base.log import logger
from server.base.paging import Page, decode_cursor, encode_cursor, page_of, page_size
from server.base.store import record
from server.journey import model, store
from server.journey.model import JourneyReported, Line, Report

log = logger(__name__)


async def report_due(ctx: Context) -> int:
    """Write the report of every whole month that has none since the last one; returns the mentees in them.

    One transaction per month, unique by (month, mentee): again, it finds nothing to do. A report stays as it was
    written, also when a verdict is amended later.
    """
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        last = await store.last_month(conn)
    count = 0
    for month in model.months_to_report(last, ctx.clock.now(), ctx.settings.timezone):
        count += await in_transaction(ctx.pool, partial(_report_in, ctx, month))
    if count:
        ctx.wake()
    return count


async def _report_in(ctx: Context, month: date, conn: Conn) -> int:
    now, zone = ctx.clock.now(), ctx.settings.timezone
    made = Report(month, str(zone), model.begin(month, zone), model.begin(model.following(month), zone), now)
    if not await store.insert_report(conn, made):
        return 0
    lines = await store.journeys(conn, made.starts_at, made.ends_at, now)
    await store.insert_lines(conn, month, lines)
    sums = {name: sum(getattr(it, name) for it in lines) for name in ("booked", "held", "missed")}
    await record(conn, JourneyReported(at=now, month=month, mentees=len(lines), **sums))
    log.info("journey_reported", month=made.label, mentees=len(lines))
    return len(lines)


async def reports(ctx: Context) -> list[Report]:
    """The newest month first."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.reports(conn)


async def get(ctx: Context, label: str | None) -> Report:
    """The report of a month (``2026-03``), the latest without one. Raises ``NotFound("report_not_found")``."""
    for found in await reports(ctx):
        if label is None or found.label == label:
            return found
    raise NotFound("report_not_found", "There is no report of such a month.")


async def lines(
    ctx: Context, report: Report, cursor: str | None = None, limit: int | None = None
) -> Page[Line]:
    """By name. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    after: tuple[str, UUID] | None = None
    if cursor is not None:
        name, last = decode_cursor(cursor, str, UUID)
        assert isinstance(name, str) and isinstance(last, UUID)  # noqa: S101 - decode_cursor made them so
        after = name, last
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.lines(conn, report.month, after, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.name, it.mentee_id))


async def totals(ctx: Context, report: Report) -> dict[str, int]:
    """Sums over all mentees: mentees, booked, held, missed, seconds, tokens."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.totals(conn, report.month)


async def file(ctx: Context, label: str) -> tuple[Report, str]:
    """The report with its CSV. Raises ``NotFound("report_not_found")``."""
    report = await get(ctx, label)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return report, model.file_of(report, await store.lines(conn, report.month, None, None))
