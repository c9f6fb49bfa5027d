"""The months of the report, its lines, and its file; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base import csvs

MOST_MONTHS: Final = 24  # made up in one run
HEADING: Final = (
    "month", "mentee_id", "name", "booked", "held", "missed", "missed_by_mentor", "cancelled", "hours", "tokens",
    "mentors", "next_session_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """A month, named by its first day, from ``starts_at`` up to and not including ``ends_at`` (UTC)."""

    month: date
    zone: str
    starts_at: datetime
    ends_at: datetime
    created_at: datetime

    @property
    def label(self) -> str:
        return f"{self.month:%Y-%m}"

    @property
    def file_name(self) -> str:
        return f"mentee-journey-{self.label}.csv"


@dataclass(frozen=True, slots=True)
class Line:
    """One mentee. Sessions count in the month in which they start: ``booked`` is all that was asked for, ``missed``
    what the mentee did not come to (also when nobody came). ``seconds`` and ``tokens`` are of those held and paid."""

    mentee_id: UUID
    name: str
    booked: int
    held: int
    missed: int
    missed_by_mentor: int
    cancelled: int
    seconds: int
    tokens: int
    mentors: tuple[str, ...]
    next_session_at: datetime | None

    @property
    def hours(self) -> str:
        return f"{self.seconds / 3600:.2f}"


@dataclass(frozen=True, slots=True)
class JourneyReported:
    """The report of a month is written."""

    KIND: ClassVar[str] = "journey_reported"
    at: datetime
    month: date
    mentees: int
    booked: int
    held: int
    missed: int
    session_id: UUID | None = None


def month_before(now: datetime, zone: ZoneInfo) -> date:
    """The first day of the last whole month in the zone."""
    local = now.astimezone(zone)
    return date(local.year - (local.month == 1), (local.month - 2) % 12 + 1, 1)


def following(month: date) -> date:
    return date(month.year + (month.month == 12), month.month % 12 + 1, 1)


def begin(month: date, zone: ZoneInfo) -> datetime:
    """When the month begins in the zone, in UTC."""
    return datetime(month.year, month.month, 1, tzinfo=zone).astimezone(UTC)


def months_to_report(last: date | None, now: datetime, zone: ZoneInfo) -> list[date]:
    """The whole months after ``last``, oldest first; without a ``last`` only the one before now."""
    until = month_before(now, zone)
    month = following(last) if last is not None else until
    months: list[date] = []
    while month <= until and len(months) < MOST_MONTHS:
        months.append(month)
        month = following(month)
    return months


def file_of(report: Report, lines: Sequence[Line]) -> str:
    """The report as CSV."""
    return csvs.write(
        HEADING,
        (
            (
                report.label, it.mentee_id, it.name, it.booked, it.held, it.missed, it.missed_by_mentor, it.cancelled,
                it.hours, it.tokens, "; ".join(it.mentors),
                it.next_session_at.astimezone(UTC).isoformat().replace("+00:00", "Z") if it.next_session_at else None,
            )
            for it in lines
        ),
    )  # fmt: skip
