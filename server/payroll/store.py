"""Periods, payslips and their lines in PostgreSQL; a transfer can be on one line only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn
from server.payroll.model import Payslip, PayslipLine, Period

# Earnings no payslip carries yet, and what was taken back of earnings: lines of less than nothing.
_UNPAID = (
    " FROM (SELECT t.id, t.session_id, t.created_at, t.amount, t.credit_account AS account FROM transfers t"
    " WHERE t.kind = 'earning' UNION ALL"
    " SELECT t.id, t.session_id, t.created_at, -t.amount, t.debit_account FROM transfers t"
    " JOIN accounts d ON d.id = t.debit_account WHERE t.kind = 'reversal' AND d.kind = 'earnings') t"
    " JOIN accounts a ON a.id = t.account"
    " WHERE NOT EXISTS (SELECT FROM payslip_lines l WHERE l.transfer_id = t.id)"
)


@dataclass(frozen=True, slots=True)
class Earning:
    """``amount`` is below zero for one that was taken back."""

    transfer_id: UUID
    session_id: UUID
    mentor_id: UUID
    amount: int


async def first_unpaid(conn: Conn) -> datetime | None:
    """When the oldest unpaid earning was made."""
    first: datetime | None = await conn.fetchval(f"SELECT min(t.created_at) {_UNPAID}")
    return first


async def unpaid_before(conn: Conn, end: datetime) -> list[Earning]:
    rows = await conn.fetch(
        f"SELECT t.id AS transfer_id, t.session_id, a.owner_id AS mentor_id, t.amount {_UNPAID}"
        " AND t.created_at < $1 ORDER BY a.owner_id, t.created_at, t.id",
        end,
    )
    return [Earning(**row) for row in rows]


async def insert_period(conn: Conn, period: Period) -> bool:
    """False when the period was closed before; waits for a transaction that is closing it now."""
    row = await conn.fetchrow(
        "INSERT INTO payroll_periods (id, label, starts_at, ends_at, closed_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (label) DO NOTHING RETURNING id",
        period.id, period.label, period.starts_at, period.ends_at, period.closed_at,
    )  # fmt: skip
    return row is not None


async def insert_payslip(
    conn: Conn,
    payslip_id: UUID,
    period_id: UUID,
    mentor_id: UUID,
    total: int,
    lines: Sequence[PayslipLine],
    now: datetime,
) -> None:
    await conn.execute(
        "INSERT INTO payslips (id, period_id, mentor_id, total_tokens, created_at) VALUES ($1, $2, $3, $4, $5)",
        payslip_id, period_id, mentor_id, total, now,
    )  # fmt: skip
    await conn.executemany(
        "INSERT INTO payslip_lines (payslip_id, transfer_id, session_id, amount) VALUES ($1, $2, $3, $4)",
        [(payslip_id, line.transfer_id, line.session_id, line.amount) for line in lines],
    )


async def payslips(conn: Conn, mentor_id: UUID | None, label: str | None) -> list[Payslip]:
    """Payslips, newest period first, of one mentor and one period where they are given."""
    rows = await conn.fetch(
        "SELECT s.id, s.mentor_id, s.total_tokens, s.created_at, p.id AS period_id, p.label, p.starts_at, p.ends_at,"
        " p.closed_at, array_agg(l.transfer_id ORDER BY l.transfer_id) AS transfers,"
        " array_agg(l.session_id ORDER BY l.transfer_id) AS sessions,"
        " array_agg(l.amount ORDER BY l.transfer_id) AS amounts"
        " FROM payslips s JOIN payroll_periods p ON p.id = s.period_id JOIN payslip_lines l ON l.payslip_id = s.id"
        " WHERE ($1::uuid IS NULL OR s.mentor_id = $1) AND ($2::text IS NULL OR p.label = $2)"
        " GROUP BY s.id, p.id ORDER BY p.ends_at DESC, s.id",
        mentor_id, label,
    )  # fmt: skip
    return [
        Payslip(
            id=row["id"],
            period=Period(row["period_id"], row["label"], row["starts_at"], row["ends_at"], row["closed_at"]),
            mentor_id=row["mentor_id"],
            total_tokens=row["total_tokens"],
            created_at=row["created_at"],
            lines=tuple(
                PayslipLine(*line)
                for line in zip(row["transfers"], row["sessions"], row["amounts"], strict=True)
            ),
        )
        for row in rows
    ]


async def periods(conn: Conn) -> list[Period]:
    """Closed periods, newest first."""
    rows = await conn.fetch(
        "SELECT id, label, starts_at, ends_at, closed_at FROM payroll_periods ORDER BY ends_at DESC"
    )
    return [Period(**row) for row in rows]
