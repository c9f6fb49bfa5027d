"""When jobs are due: schedules as data, their ticks computed in an explicit zone; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class EveryMinute:
    """At second 0 of every minute, which is the same in all zones."""

    text: str = "every minute"

    def latest(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last tick that is not after ``now``, in UTC."""
        del zone
        return now.astimezone(UTC).replace(second=0, microsecond=0)

    def next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first tick after ``now``, in UTC."""
        return self.latest(now, zone) + timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Monthly:
    """Once a month at a wall time of the business zone. ``day`` exists in every month."""

    day: int
    hour: int
    minute: int

    def __post_init__(self) -> None:
        if not 1 <= self.day <= 28:
            raise ValueError("a monthly job needs a day that every month has")

    @property
    def text(self) -> str:
        return f"monthly on day {self.day}, {self.hour:02}:{self.minute:02}"

    def latest(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last tick that is not after ``now``, in UTC."""
        local = now.astimezone(zone)
        tick = self._in(local.year, local.month, zone)
        if tick <= now:
            return tick
        return self._in(local.year - (local.month == 1), (local.month - 2) % 12 + 1, zone)

    def next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first tick after ``now``, in UTC."""
        local = now.astimezone(zone)
        tick = self._in(local.year, local.month, zone)
        if tick > now:
            return tick
        return self._in(local.year + (local.month == 12), local.month % 12 + 1, zone)

    def _in(self, year: int, month: int, zone: ZoneInfo) -> datetime:
        return datetime(year, month, self.day, self.hour, self.minute, tzinfo=zone).astimezone(UTC)


Schedule: TypeAlias = EveryMinute | Monthly
