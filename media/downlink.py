"""How much a subscriber's line carries: what was sent when, what his feedback says of it, and probing for more."""

from __future__ import annotations

from array import array
from collections import deque
from statistics import median

from media.rtcp import TransportFeedback
from media.sequence import extend

SENT = 2048  # packets remembered, a power of two: a second at 16 Mb/s
SENT_MASK = SENT - 1
TICK = 0.00025  # seconds in which feedback counts

MINIMUM = 60_000.0  # bits per second: sound must always go
WINDOW = 0.5  # seconds over which the arriving rate and the loss are measured
BASE_SECONDS = 5.0  # the least delay of the last one or two of these is the empty line
QUEUED = 0.12  # seconds of queueing: the line is too narrow, whatever the trend
QUEUEING = 0.05  # the same if it grows
RELAXED = 0.03  # below this the line has room
LOST = 0.12  # a share of losses that is congestion; radio links lose a few per cent without any
BACK_OFF = 0.85
GROWTH = 0.1  # a second
PROBE_SECONDS = 0.6  # a little longer than what the arriving rate is measured over
PROBE_FIRST, PROBE_LATEST = 1.0, 16.0  # seconds between probes; doubled after each that failed


class Downlink:
    """One subscriber's line. Times are monotonic seconds, rates bits per second.

    Unlimited until the first sign of congestion: a call starts sharp. Then the estimate falls to what arrived,
    grows slowly while there is no queue, and by probing when the allocator says that somebody would use more.
    """

    __slots__ = (
        "_acked", "_arrived", "_base", "_base_before", "_base_until", "_congested_at", "_counted", "_decreased_at",
        "_last_queue", "_lost", "_probe_until", "_probe_wait", "_reference", "_updated", "_window_at",
        "acked_rate", "estimate", "limited", "loss", "next", "probe_extra", "probe_rate", "queue", "sizes", "times",
    )  # fmt: skip

    def __init__(self) -> None:
        self.next = 1  # transport-wide number of the next packet, extended
        self.times = array("d", bytes(8 * SENT))
        self.sizes = array("H", bytes(2 * SENT))
        self.limited = False
        self.estimate = 0.0  # only meaningful when limited
        self.acked_rate = 0.0
        self.queue = 0.0  # seconds a packet waits on the way
        self.loss = 0.0
        self.probe_rate = 0.0  # while probing, what is to be sent in all
        self.probe_extra = 0.0  # the padding among it
        self._acked = 0  # highest number of which anything is known
        self._arrived: deque[tuple[float, int]] = deque(maxlen=256)  # (arrival, octets) of each feedback
        self._base = self._base_before = float("inf")
        self._base_until = 0.0
        self._congested_at = self._decreased_at = float("-inf")
        self._last_queue = 0.0
        self._counted = self._lost = 0
        self._window_at = 0.0
        self._reference = -1
        self._updated = 0.0
        self._probe_until = 0.0
        self._probe_wait = PROBE_FIRST

    def note(self, size: int, now: float) -> None:
        """The packet with number `next` has left; the hot path."""
        at = self.next & SENT_MASK
        self.times[at] = now
        self.sizes[at] = size
        self.next += 1

    def on_remb(self, rate: float) -> None:
        """The receiver's own estimate, from a client that gives no transport-wide feedback."""
        self.limited = True
        self.estimate = max(MINIMUM, rate)

    def on_feedback(self, feedback: TransportFeedback, now: float) -> None:
        """What arrived when. Numbers that were never sent, or too long ago, are ignored."""
        first = extend(feedback.base, self.next)
        clock = self._unwrap(feedback.reference) * 256
        delays: list[float] = []
        octets = 0
        for place, ticks in enumerate(feedback.arrivals):
            number = first + place
            if not self._acked < number < self.next or number <= self.next - SENT:
                continue
            self._counted += 1
            if ticks is None:
                self._lost += 1
                continue
            delays.append((clock + ticks) * TICK - self.times[number & SENT_MASK])
            octets += self.sizes[number & SENT_MASK]
        self._acked = max(self._acked, min(first + len(feedback.arrivals), self.next) - 1)
        if delays:
            last = max(ticks for ticks in feedback.arrivals if ticks is not None)
            self._measure(delays, (clock + last) * TICK, octets, now)
            self._decide(now)

    def _unwrap(self, reference: int) -> int:
        """The 24-bit count of 64 ms wraps every twelve days."""
        if self._reference < 0:
            self._reference = reference + (1 << 24)
        else:
            self._reference += ((reference - self._reference + (1 << 23)) & 0xFFFFFF) - (1 << 23)
        return self._reference

    def _measure(self, delays: list[float], arrival: float, octets: int, now: float) -> None:
        if now > self._base_until:
            self._base_before, self._base = self._base, float("inf")
            self._base_until = now + BASE_SECONDS
        self._base = min(self._base, *delays)
        self._last_queue = self.queue
        self.queue = median(delays) - min(self._base, self._base_before)
        arrived = self._arrived
        arrived.append((arrival, octets))
        while arrival - arrived[0][0] > WINDOW:
            arrived.popleft()
        span = arrival - arrived[0][0]
        if span > WINDOW / 4:
            self.acked_rate = (sum(o for _, o in arrived) - arrived[0][1]) * 8 / span
        if now - self._window_at > WINDOW and self._counted >= 20:
            self.loss = self._lost / self._counted
            self._counted = self._lost = 0
            self._window_at = now

    def _decide(self, now: float) -> None:
        passed, self._updated = min(now - self._updated, 0.5), now
        queued = self.queue > QUEUED or self.queue > QUEUEING < self._last_queue < self.queue
        if (queued or self.loss > LOST) and self.acked_rate:
            if self.probe_rate:
                self._probe_wait = min(2 * self._probe_wait, PROBE_LATEST)
                self.probe_rate = 0.0
            if now - self._decreased_at > WINDOW:  # so that the last decrease is seen in the arriving rate
                self._decreased_at = now
                rate = min(self.acked_rate, self.estimate) if self.limited else self.acked_rate
                self.estimate = max(MINIMUM, BACK_OFF * rate)
                self.limited = True
            self._congested_at = now
            self.loss = 0.0  # acted upon; the next window tells whether it helped
        elif self.limited and self.queue < RELAXED:
            if self.probe_rate and now > self._probe_until:
                self.estimate = max(self.estimate, min(self.probe_rate, self.acked_rate))
                self.probe_rate, self._probe_wait = 0.0, PROBE_FIRST
                self._congested_at = now - PROBE_FIRST / 2  # the next one soon
            elif self.estimate < 1.5 * self.acked_rate:
                self.estimate *= 1 + GROWTH * passed

    def wants_probe(self, needed: float, now: float) -> bool:
        """Begin to probe for `needed` bits per second if it is time; whether a probe is under way."""
        if self.probe_rate:
            if now > self._probe_until + 2 * WINDOW:
                self.probe_rate = 0.0  # no feedback came: nothing learnt
            return now <= self._probe_until
        if not self.limited or needed <= self.estimate or now - self._congested_at < self._probe_wait:
            return False
        self.probe_rate = min(1.1 * needed, 2.5 * self.estimate)
        self.probe_extra = max(0.0, self.probe_rate - self.acked_rate)
        self._probe_until = now + PROBE_SECONDS
        return True
