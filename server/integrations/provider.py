"""A channel's provider treated with care: no faster than it likes, and left alone while it is down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from server.integrations.channel import Message, NotificationChannel, Rate, Unavailable

TRIP_AFTER = 3  # failures in a row: one can be the network's hiccup, three are an outage
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)  # an outage that ended is noticed that late
LONGEST_WISH = timedelta(hours=2)  # a Retry-After beyond this is a mistake at the other end


@dataclass(frozen=True, slots=True)
class Breaker:
    """A circuit breaker as a value: closed; open until an instant; then half open, and one failure opens it again."""

    failures: int = 0  # in a row
    open_until: datetime | None = None

    def allows(self, now: datetime) -> bool:
        return self.open_until is None or now >= self.open_until

    def succeeded(self) -> Breaker:
        return Breaker()

    def failed(self, now: datetime, retry_after: timedelta | None = None) -> Breaker:
        """After a failure of the provider. Its own wish (Retry-After) opens it at once, for at least as long."""
        failures = self.failures + 1
        rest = timedelta(0)
        if failures >= TRIP_AFTER:
            rest = min(FIRST_REST * 2 ** min(failures - TRIP_AFTER, 16), LONGEST_REST)
        if retry_after is not None:
            rest = max(rest, min(retry_after, LONGEST_WISH))
        return Breaker(failures, now + rest if rest else None)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket as a value: ``level`` messages may leave at once at ``at``."""

    rate: Rate
    level: float
    at: datetime

    def filled(self, now: datetime) -> Bucket:
        grown = self.level + max(0.0, (now - self.at).total_seconds()) * self.rate.per_second
        return replace(self, level=min(grown, self.rate.burst), at=now)

    @property
    def has_one(self) -> bool:
        return self.level >= 1

    def taken(self) -> Bucket:
        return replace(self, level=self.level - 1)


class Provider:
    """One channel in one process with its breaker and its bucket; several processes each have their own."""

    def __init__(self, channel: NotificationChannel) -> None:
        self._channel = channel
        self._breaker = Breaker()
        self._bucket: Bucket | None = None

    def ready(self, now: datetime) -> bool:
        """Whether a message may be handed over now."""
        return self._breaker.allows(now) and self._filled(now).has_one

    async def send(self, message: Message, now: datetime) -> str:
        """As the channel's own; what it says about the provider is remembered."""
        self._bucket = self._filled(now).taken()
        try:
            name = await self._channel.send(message)
        except Unavailable as error:
            self._breaker = self._breaker.failed(now, error.retry_after)
            raise
        except Exception:
            self._breaker = self._breaker.succeeded()  # it answered, if only to say no
            raise
        self._breaker = self._breaker.succeeded()
        return name

    def _filled(self, now: datetime) -> Bucket:
        bucket = self._bucket or Bucket(self._channel.rate, self._channel.rate.burst, now)
        return bucket.filled(now)
