"""Payroll periods and payslips; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

CLOSING_DAY = 26  # of every month, at midnight in the business zone


@dataclass(frozen=True, slots=True)
class Span:
    """One period: from ``start`` up to and not including ``end``, both in UTC; ``label`` is the closing month."""

    label: str
    start: datetime
    end: datetime


def span_closing_in(year: int, month: int, zone: ZoneInfo) -> Span:
    """The period that ends when the 26th of the month begins in the business zone."""
    before = (year - 1, 12) if month == 1 else (year, month - 1)
    return Span(f"{year:04}-{month:02}", _closing(*before, zone), _closing(year, month, zone))


def _closing(year: int, month: int, zone: ZoneInfo) -> datetime:
    return datetime(year, month, CLOSING_DAY, tzinfo=zone).astimezone(UTC)


def span_of(instant: datetime, zone: ZoneInfo) -> Span:
    """The period in which the instant lies."""
    local = instant.astimezone(zone)
    months = local.year * 12 + local.month - 1 + (local.day >= CLOSING_DAY)
    return span_closing_in(months // 12, months % 12 + 1, zone)


def spans_to_close(first_earning: datetime, now: datetime, zone: ZoneInfo) -> Iterator[Span]:
    """Every period from the one of the first unpaid earning to the last that has ended by ``now``, in order.

    More than one only after the job has missed a 26th.
    """
    span = span_of(first_earning, zone)
    while span.end <= now:
        yield span
        span = span_of(span.end, zone)


@dataclass(frozen=True, slots=True)
class Period:
    id: UUID
    label: str
    starts_at: datetime
    ends_at: datetime
    closed_at: datetime


@dataclass(frozen=True, slots=True)
class PayslipLine:
    """One earning, paid; or one that was taken back, with an amount below zero."""

    transfer_id: UUID
    session_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class Payslip:
    id: UUID
    period: Period
    mentor_id: UUID
    total_tokens: int
    created_at: datetime
    lines: tuple[PayslipLine, ...]


@dataclass(frozen=True, slots=True)
class PayslipIssued:
    """A mentor's earnings of a period were paid out; it belongs to many sessions, so to none."""

    KIND: ClassVar[str] = "payslip_issued"
    at: datetime
    payslip_id: UUID
    mentor_id: UUID
    label: str
    period_start: datetime
    period_end: datetime
    total_tokens: int
    session_count: int
    session_id: UUID | None = None
