"""Close a period: payslips and payouts, all in one transaction or none of it."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.ids import new_id
from server.base.log import logger
from server.base.store import record
from server.ledger import actions as ledger
from server.ledger.model import AccountKind, TransferKind
from server.payroll import model, store
from server.payroll.model import Payslip, PayslipIssued, PayslipLine, Period, Span

log = logger(__name__)


async def close_period(ctx: Context) -> Period | None:
    """Close every period that has ended in the business zone and holds unpaid earnings; the last one closed.

    Normally that is at most the period of the latest 26th; after a missed 26th the missed one comes first. None when
    there was nothing to close, as always on the second run. One transaction per period: a process killed anywhere
    leaves all of a period or nothing. An earning dated into a period that is closed already goes onto the next payslip,
    and so does the correction of one that was paid: a payslip that was issued never changes.
    """
    now, zone = ctx.clock.now(), ctx.settings.timezone
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        first = await store.first_unpaid(conn)
    if first is None:
        return None
    closed = None
    for span in model.spans_to_close(first, now, zone):
        period = await in_transaction(ctx.pool, lambda conn, span=span: _close_in(conn, ctx, span))  # type: ignore[misc]
        if period is not None:
            log.info("payroll_period_closed", label=period.label)
            closed = period
    if closed is not None:
        ctx.wake()
    return closed


async def _close_in(conn: Conn, ctx: Context, span: Span) -> Period | None:
    now = ctx.clock.now()
    period = Period(new_id(), span.label, span.start, span.end, now)
    # First of all: whoever closes the same period waits here until we are through, and then finds it closed.
    if not await store.insert_period(conn, period):
        return None
    earnings = await store.unpaid_before(conn, span.end)
    for mentor_id, group in groupby(earnings, key=attrgetter("mentor_id")):
        lines = [PayslipLine(e.transfer_id, e.session_id, e.amount) for e in group]
        total = sum(line.amount for line in lines)
        if total <= 0:
            # More was taken back than earned: all of it waits for a period in which there is something to pay.
            continue
        payslip_id = new_id()
        await store.insert_payslip(conn, payslip_id, period.id, mentor_id, total, lines, now)
        earned = await ledger.account(conn, AccountKind.EARNINGS, mentor_id, now)
        paid = await ledger.account(conn, AccountKind.PAYOUTS, None, now)
        key, memo = f"payout:{span.label}:{mentor_id}", f"Payslip {span.label}"
        await ledger.post(conn, key, TransferKind.PAYOUT, earned, paid, total, None, memo, now)
        await record(
            conn,
            PayslipIssued(
                at=now,
                payslip_id=payslip_id,
                mentor_id=mentor_id,
                label=span.label,
                period_start=span.start,
                period_end=span.end,
                total_tokens=total,
                session_count=len({line.session_id for line in lines}),
            ),
        )
    return period


async def payslips(ctx: Context, mentor_id: UUID | None = None, label: str | None = None) -> list[Payslip]:
    """Payslips, newest period first; whose one may see is the caller's check."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.payslips(conn, mentor_id, label)


async def periods(ctx: Context) -> list[Period]:
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.periods(conn)
