"""A place in the line, how long an offer stands, and the fact of an offer; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

OFFER_FOR: Final = timedelta(hours=2)  # long enough to see a mail, short enough for the next in line
LONGEST: Final = timedelta(days=92)  # of the time somebody waits for, as of a question for slots
MOST: Final = 20  # places of one person


class WaitStatus(StrEnum):
    """waiting -> offered -> taken | passed; left at any time before that."""

    WAITING = "waiting"
    OFFERED = "offered"
    TAKEN = "taken"
    PASSED = "passed"  # did not want the time that was offered; the line goes on without
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody waits for any time of the mentor's in [earliest, latest); ``ahead`` counts who came before."""

    id: UUID
    mentor_id: UUID
    mentee_id: UUID
    earliest: datetime
    latest: datetime
    status: WaitStatus
    booking_id: UUID | None
    created_at: datetime
    mentor_name: str
    ahead: int


@dataclass(frozen=True, slots=True)
class SlotOffered:
    """A freed time is kept for the first in line until ``expires_at``."""

    KIND: ClassVar[str] = "slot_offered"
    session_id: UUID
    at: datetime
    booking_id: UUID
    mentor_id: UUID
    mentee_id: UUID
    start: datetime
    end: datetime
    expires_at: datetime
