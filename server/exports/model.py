"""Days that are to be exported, and the file of a day; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base import csvs

MOST_DAYS: Final = 400  # in one run: an installation that was away for a year catches up
HEADING: Final = (
    "line", "transfer_id", "posted_at", "kind", "debit_account", "debit_owner", "credit_account", "credit_owner",
    "debit_tokens", "credit_tokens", "session_id", "key", "memo",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Posting:
    """A transfer as bookkeeping reads it: from an account to an account. Owner None is the platform."""

    transfer_id: UUID
    posted_at: datetime
    kind: str
    debit_account: str
    debit_owner: UUID | None
    credit_account: str
    credit_owner: UUID | None
    amount: int
    session_id: UUID | None
    key: str
    memo: str


@dataclass(frozen=True, slots=True)
class Export:
    """One day's file, without its body. ``ends_at``: the midnight of ``zone`` that ends the day."""

    day: date
    zone: str
    ends_at: datetime
    transfers: int
    tokens: int
    sha256: str
    created_at: datetime

    @property
    def file_name(self) -> str:
        return f"transactions-{self.day.isoformat()}.csv"


def day_end(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which the day is over in the zone."""
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def days_to_export(first: datetime | None, last: date | None, now: datetime, zone: ZoneInfo) -> list[date]:
    """The days that have ended by ``now`` and have no export, oldest first, from the one after ``last`` or from that of
    the ``first`` transfer."""
    if last is not None:
        day = last + timedelta(days=1)
    elif first is not None:
        day = first.astimezone(zone).date()
    else:
        return []
    days: list[date] = []
    while day_end(day, zone) <= now and len(days) < MOST_DAYS:
        days.append(day)
        day += timedelta(days=1)
    return days


def file_of(postings: Sequence[Posting]) -> str:
    """The CSV: a line for each transfer, debit and credit side by side, so that either column sums to the same."""
    return csvs.write(
        HEADING,
        (
            (
                number, it.transfer_id, it.posted_at.astimezone(UTC).isoformat().replace("+00:00", "Z"), it.kind,
                it.debit_account, it.debit_owner, it.credit_account, it.credit_owner, it.amount, it.amount,
                it.session_id, it.key, it.memo,
            )
            for number, it in enumerate(postings, 1)
        ),
    )  # fmt: skip


def checksum(body: str) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    return hashlib.sha256(body.encode()).hexdigest()
