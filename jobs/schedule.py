"""When jobs are due: schedules as data, their ticks computed in an explicit zone; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
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


# Where schedules of so many hours are counted from: a midnight in UTC, so that each has the same ticks for ever.
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class EveryHours:
    """Every so many hours of elapsed time, counted from ANCHOR plus ``minute``: the same instants in all zones, so a
    change of the clocks neither doubles nor skips one. Five hours do not divide a day: the wall times wander."""

    hours: int
    minute: int = 0

    def __post_init__(self) -> None:
        if self.hours < 1 or not 0 <= self.minute < self.hours * 60:
            raise ValueError("a period of whole hours, and minutes within it")

    @property
    def text(self) -> str:
        return f"every {self.hours} h, {self.minute} min past, counted from {ANCHOR:%Y-%m-%d} UTC"

    def latest(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last tick that is not after ``now``, in UTC."""
        del zone
        first, period = ANCHOR + timedelta(minutes=self.minute), timedelta(hours=self.hours)
        return first + (now.astimezone(UTC) - first) // period * period

    def next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first tick after ``now``, in UTC."""
        return self.latest(now, zone) + timedelta(hours=self.hours)


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day at a wall time of the zone. A time that a day skips (spring) comes an hour later there, one that a
    day has twice (autumn) is its first."""

    hour: int
    minute: int

    @property
    def text(self) -> str:
        return f"daily at {self.hour:02}:{self.minute:02}"

    def latest(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The last tick that is not after ``now``, in UTC."""
        today = now.astimezone(zone).date()
        tick = self._on(today, zone)
        return tick if tick <= now else self._on(today - timedelta(days=1), zone)

    def next(self, now: datetime, zone: ZoneInfo) -> datetime:
        """The first tick after ``now``, in UTC."""
        today = now.astimezone(zone).date()
        tick = self._on(today, zone)
        return tick if tick > now else self._on(today + timedelta(days=1), zone)

    def _on(self, day: date, zone: ZoneInfo) -> datetime:
        return datetime.combine(day, time(self.hour, self.minute), zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Monthly:
    """Once a month at a wall time of the zone. ``day`` exists in every month."""

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


Schedule: TypeAlias = EveryMinute | EveryHours | Daily | Monthly

BUSINESS = "business"  # stands for the zone of VISAVIS_TIMEZONE, which payroll and exports count in


class Missed(StrEnum):
    """What becomes of the ticks that nobody was there to run."""

    ALL = "all"  # each is made up for, oldest first, as if the clock stood at it
    LATEST = "latest"  # only the last one: the job looks at what is due, not at the tick
    SKIP = "skip"  # none, once it is later than SKIP_AFTER: what was missed is of no use any more


SKIP_AFTER = timedelta(minutes=1)
MOST_MADE_UP = 400  # ticks: a daily job that was away for a year; of more, the latest
MOST_COUNTED = 10_000  # missed ticks: a week of minutes; more are not counted


@dataclass(frozen=True, slots=True)
class Due:
    """A tick to run, or to note as skipped; ``missed`` earlier ones are passed over by it."""

    tick: datetime
    skipped: bool = False
    missed: int = 0


def zone_of(name: str, business: ZoneInfo) -> ZoneInfo:
    """The zone a schedule is told in."""
    return business if name == BUSINESS else ZoneInfo(name)


def passed_over(schedule: Schedule, zone: ZoneInfo, last: datetime | None, tick: datetime) -> int:
    """How many ticks lie between ``last`` and ``tick``, both not counted; at most MOST_COUNTED."""
    count, between = 0, None if last is None else schedule.next(last, zone)
    while between is not None and between < tick and count < MOST_COUNTED:
        count, between = count + 1, schedule.next(between, zone)
    return count


def due_ticks(
    schedule: Schedule,
    zone: ZoneInfo,
    missed: Missed,
    now: datetime,
    last: datetime | None,
    unfinished: Collection[datetime],
) -> list[Due]:
    """What there is to do at ``now``, oldest first, when ``last`` was the last tick begun and ``unfinished`` ones may
    be tried again. A job that never ran has missed nothing: it begins with the latest tick."""
    latest = schedule.latest(now, zone)
    new: deque[datetime] = deque(maxlen=MOST_MADE_UP)
    passed = 0
    if last is None or latest > last:
        tick = latest if last is None else schedule.next(last, zone)
        while tick < latest and passed < MOST_COUNTED:
            new.append(tick)
            passed += 1
            tick = schedule.next(tick, zone)
        new.append(latest)
    match missed:
        case Missed.ALL:
            return [Due(tick) for tick in sorted({*unfinished, *new})]
        case Missed.LATEST:
            return [Due(latest, missed=passed)] if new or latest in unfinished else []
        case Missed.SKIP:
            late = now - latest > SKIP_AFTER
            if new:
                return [Due(latest, skipped=late, missed=passed)]
            return [Due(latest)] if latest in unfinished and not late else []
