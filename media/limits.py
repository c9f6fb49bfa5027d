"""Token buckets: how much unauthenticated or repeated work one source may cause."""

from __future__ import annotations

import socket
from collections import OrderedDict


def plain_host(host: str) -> str:
    """An address as its own family writes it: a dual-stack socket shows IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2)."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def source_key(host: str) -> str:
    """Who counts as one source: an IPv4 address, or an IPv6 network of 64 bits, of which everybody owns one or more."""
    host = plain_host(host)
    if ":" not in host:
        return host
    network = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8]
    return socket.inet_ntop(socket.AF_INET6, network + bytes(8))


class Bucket:
    """`rate` tokens a second, at most `burst` saved up. Times are monotonic seconds."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def level(self, now: float) -> float:
        """Tokens available now."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return self._tokens

    def charge(self, cost: float) -> None:
        """Use so many tokens, also ones that are not there yet: at most a whole burst is owed."""
        self._tokens = max(-self._burst, self._tokens - cost)

    def take(self, now: float) -> bool:
        """Use one token; False if there is none."""
        if self.level(now) < 1:
            return False
        self._tokens -= 1
        return True


class Meter:
    """The same for the hot path, which counts `left` down by itself and asks `refill` only when nothing is left.

    Looked at that seldom, it lets through `rate` and at most twice `burst` beyond it.
    """

    __slots__ = ("_at", "_burst", "_rate", "left")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._at = now
        self.left = burst

    def refill(self, now: float) -> bool:
        """Add what has come together since the last time; False if that is nothing."""
        earned = int((now - self._at) * self._rate)
        if earned <= 0:
            return False
        self._at = now if earned >= self._burst else self._at + earned / self._rate
        self.left = min(self._burst, self.left + earned)
        return self.left > 0


class SourceLimiter:
    """One bucket per source address, for a bounded number of sources: the longest unused is forgotten."""

    def __init__(self, rate: float, burst: float, max_sources: int) -> None:
        self._rate = rate
        self._burst = burst
        self._max = max_sources
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allowed(self, source: str, now: float) -> bool:
        """Whether this source has anything left; costs nothing and remembers nothing."""
        bucket = self._buckets.get(source)
        return bucket is None or bucket.level(now) >= 1

    def charge(self, source: str, now: float) -> None:
        """The source caused work that led to nothing."""
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = Bucket(self._rate, self._burst, now)
            if len(self._buckets) > self._max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(source)
        bucket.take(now)
