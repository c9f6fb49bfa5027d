"""Time as an argument: the wall clock, one that is shifted, and one that only moves when told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the present instant, aware and in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class OffsetClock:
    """The wall clock plus an offset that can be moved: real seconds pass, but in another week."""

    def __init__(self, offset: timedelta = timedelta()) -> None:
        self.offset = offset

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def jump_to(self, instant: datetime) -> None:
        """Let it be ``instant`` now; time runs on from there."""
        self.offset = instant - datetime.now(UTC)


class SteppedClock:
    """Stands still until stepped."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock needs an aware datetime")
        self._now = now.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def step(self, by: timedelta) -> datetime:
        """Move forward by ``by`` and return the new instant."""
        self._now += by
        return self._now

    def set(self, instant: datetime) -> None:
        self._now = instant.astimezone(UTC)
