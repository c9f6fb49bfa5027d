"""What administrators read of exports, monthly reports and the meeting log."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from pydantic import Field

from web.schemas.base import Instant, Out


class ExportOut(Out):
    """The ledger's file of one business day."""

    day: dt.date
    zone: str
    ends_at: Instant = Field(description="Transfers dated before this, and in no earlier export.")
    transfers: int
    tokens: int
    sha256: str = Field(description="Of the file's bytes, in hexadecimal.")
    created_at: Instant
    href: str = Field(description="Where the file is.")


class JourneyOut(Out):
    """A month's report."""

    month: str = Field(examples=["2026-03"])
    zone: str
    starts_at: Instant
    ends_at: Instant
    created_at: Instant
    href: str = Field(description="Where the report is as CSV.")


class JourneyLineOut(Out):
    """One mentee in a month: sessions that start in it."""

    mentee_id: UUID
    name: str
    booked: int = Field(description="All that was asked for.")
    held: int
    missed: int = Field(description="The mentee did not come, or nobody did.")
    missed_by_mentor: int
    cancelled: int = Field(description="Cancelled, declined, or never answered.")
    seconds: int = Field(description="Of those held.")
    tokens: int = Field(description="Paid for them.")
    mentors: list[str] = Field(description="Who was met.")
    next_session_at: Instant | None = Field(description="As it stood when the report was written.")


class MeetingEventOut(Out):
    """A line of the meeting log."""

    at: Instant
    kind: str = Field(examples=["joined"])
    user_id: UUID | None
    peer_id: str | None
    detail: dict[str, Any]
