"""How much a subscriber's line carries: what was sent when, what his feedback says of it, and probing for more."""

from __future__ import annotations

from array import array
from collections import deque
from math import sqrt
from operator import sub

from media.rtcp import TransportFeedback
from media.sequence import extend

SENT = 1024  # packets remembered, a power of two: half a second at 16 Mb/s, in 10 KB
SENT_MASK = SENT - 1
TICK = 0.00025  # seconds in which feedback counts

MINIMUM = 60_000.0  # bits per second: sound must always go
WINDOW = 0.5  # seconds over which the arriving rate and the loss are measured
BASE_SECONDS = 5.0  # the least delay of the last one or two of these is the empty line
QUEUED = 0.12  # seconds of queueing: the line is too narrow, whatever the trend
QUEUEING = 0.05  # the same if it grows, or if packets are lost as well
RELAXED = 0.03  # below this the line has room
OWN_BURST = 0.2  # seconds of queueing at most that are put down to a keyframe of ours
LOST = 0.12  # a share of losses that is congestion; radio links lose some per cent without any
SURE = 1.65  # standard deviations by which it must be exceeded: of 100 packets at 10 % some 13 are lost now and then
INHERENT = 0.3  # a share of losses above which nobody is believed that less sending would not help
BACK_OFF = 0.85
GROWTH = 0.1  # a second
DEEP, DRAIN_SECONDS = (
    0.15,
    1.0,
)  # a queue that is let run dry first, for so long at most and once in such a time
PROBE_SECONDS = 0.6  # a little longer than what the arriving rate is measured over
PROBE_FIRST, PROBE_LATEST = 1.0, 6.0  # seconds between probes; half as long again after each that failed
PROBE_AGAIN = 0.2  # seconds to the next one after one that succeeded
# How many times the estimate a probe sends: the first step is small, because the queue it makes delays the sound.
PROBE_STEP, PROBE_LEAP = 1.5, 2.5
STALLED = 0.03  # seconds that the loop must be late for it to have stood still
SETTLED = 1.0  # seconds after which nothing is left of a stall: what piled up behind it went out at once


class Standstills:
    """When the loop of this server stood still; one for all its subscribers. Times are monotonic seconds.

    What was sent then carries a time of before, and what piled up goes out in one burst: the queue is ours.
    """

    __slots__ = ("_spans", "until")

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float]] = deque(maxlen=16)
        self.until = float("-inf")  # when the last one has settled

    def tick(self, before: float, now: float, interval: float) -> None:
        """The timer of the rounds ran at `before`, and now; they should be `interval` seconds apart."""
        if now - before > interval + STALLED:
            self._spans.append((before, now))
            self.until = now + SETTLED

    def hit(self, sent: float) -> bool:
        """Whether what was stamped at `sent` may have left later. What was sent just before counts as well: on one
        machine with a client, as in a trial, both stand still."""
        return any(start - STALLED <= sent <= end for start, end in self._spans)

    def excused(self, sent: float) -> float:
        """Seconds of queueing that what was sent then may have to thank a stall for: its length, and then less."""
        return max(
            ((end - start) * (1 - (sent - end) / SETTLED) for start, end in self._spans
             if end <= sent < end + SETTLED), default=0.0,
        )  # fmt: skip


class Downlink:
    """One subscriber's line. Times are monotonic seconds, rates bits per second.

    Unlimited until the first sign of congestion: a call starts sharp. Then the estimate falls to what arrived,
    grows slowly while there is no queue, and by probing when the allocator says that somebody would use more.

    The queue is what the quickest packet of a feedback waited: a client or a radio that stood still for a moment
    delays many packets but not the last, a line that is too narrow delays all. What our own burst explains, or a
    standstill of this server, does not count. Loss counts when it is more than a radio's; if less sending does not
    lessen it, it is the line's own and is borne (up to 30 %).
    """

    __slots__ = (
        "_acked", "_arrived", "_base", "_base_before", "_base_until", "_before", "_congested_at", "_counted",
        "_decreased_at", "_drain_from", "_draining_until", "_inherent", "_lost", "_octets", "_peak", "_peak_before",
        "_pressure", "_probe_step", "_probe_until", "_probe_wait", "_reference", "_standstills", "_trial", "_updated",
        "_window_at", "acked_rate", "estimate", "limited", "loss", "next", "probe_extra", "probe_rate", "queue",
        "sizes", "times",
    )  # fmt: skip

    def __init__(self, standstills: Standstills | None = None) -> None:
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
        self._standstills = standstills or Standstills()
        self._reference = -1
        self._updated = 0.0
        self._congested_at = self._decreased_at = float("-inf")
        self._probe_until = 0.0
        self._counted = self._lost = self._octets = 0  # since _window_at
        self._window_at = 0.0
        self._inherent = 0.0  # share of losses that does not depend on us
        # Loss, rate and estimate before less was sent for a loss.
        self._trial: tuple[float, float, float] | None = None
        self.moved()

    def moved(self) -> None:
        """The subscriber is somewhere else: what was learnt of the way there, other than its rate, is void."""
        self._acked = self.next - 1  # highest number of which anything is known, or wanted to be known
        # (arrival of the last packet, octets, queue) of each feedback
        self._arrived: deque[tuple[float, int, float]] = deque(maxlen=256)
        self._base = self._base_before = float("inf")
        self._base_until = 0.0
        self._before = 0.0  # the queue, less what is explained, of the feedback before
        self._drain_from = 0.0  # the queue at the last decrease
        self._draining_until = 0.0
        self._pressure = 1.0  # share of what passes that is sent: less with each decrease that did not help
        self._peak = self._peak_before = 0.0  # what arrived at best, lately
        self._probe_wait = PROBE_FIRST
        self._probe_step = PROBE_STEP
        self.probe_rate = 0.0

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
        skip = max(self._acked, self.next - SENT) + 1 - first
        clock = self._unwrap(feedback.reference) * 256
        arrivals = feedback.arrivals[max(0, skip) : max(0, self.next - first)]
        if not arrivals:
            return
        first = max(first, first + skip)
        count = len(arrivals)
        self._acked = first + count - 1
        times, sizes = self._sent(first, count)
        if None in arrivals or times[0] < self._standstills.until:
            self._with_gaps(arrivals, clock, times, sizes, first, now)
            return
        self._counted += count
        octets = sum(sizes)
        self._octets += octets
        least = min(map(sub, map(TICK.__mul__, arrivals), times)) + clock * TICK  # type: ignore[arg-type]
        self._measure(least, (clock + max(arrivals)) * TICK, octets, now)  # type: ignore[operator, type-var]
        excess = self._excess(first + count - 1, 0.0) if self.queue > QUEUEING else self.queue
        self._decide(excess, 0.0, now)

    def _sent(self, first: int, count: int) -> tuple[array[float], array[int]]:
        at = first & SENT_MASK
        times, sizes = self.times[at : at + count], self.sizes[at : at + count]
        if at + count > SENT:
            rest = at + count - SENT
            times += self.times[:rest]
            sizes += self.sizes[:rest]
        return times, sizes

    def _with_gaps(
        self,
        arrivals: tuple[int | None, ...],
        clock: int,
        times: array[float],
        sizes: array[int],
        first: int,
        now: float,
    ) -> None:
        """The same where something is lost, or where this server stood still."""
        still = self._standstills
        octets = lost = counted = 0
        least, at, last = float("inf"), -1, -(1 << 60)
        for place, (ticks, sent, size) in enumerate(zip(arrivals, times, sizes, strict=True)):
            fair = sent >= still.until or not still.hit(sent)
            if ticks is not None:
                octets += size
                last = max(last, ticks)
                if fair and ticks * TICK - sent < least:
                    least, at = ticks * TICK - sent, place
            elif fair:
                lost += 1
            if fair:
                counted += 1
                self._octets += size
        self._counted += counted
        self._lost += lost
        if not octets:
            return
        self._measure(least + clock * TICK, (clock + last) * TICK, octets, now)
        if at < 0:
            return
        excess = self.queue
        if excess > QUEUEING:
            excess = self._excess(first + at, still.excused(times[at]))
        self._decide(excess, lost / counted if counted > 9 else 0.0, now)

    def _unwrap(self, reference: int) -> int:
        """The 24-bit count of 64 ms wraps every twelve days."""
        if self._reference < 0:
            self._reference = reference + (1 << 24)
        else:
            self._reference += ((reference - self._reference + (1 << 23)) & 0xFFFFFF) - (1 << 23)
        return self._reference

    def _measure(self, least: float, arrival: float, octets: int, now: float) -> None:
        """`least` is the shortest delay of the feedback's packets, from our clock to the client's."""
        if now > self._base_until:
            self._base_before, self._base = self._base, float("inf")
            self._peak_before, self._peak = self._peak, 0.0
            self._base_until = now + BASE_SECONDS
        if least < float("inf"):
            self._base = min(self._base, least)
            self.queue = least - min(self._base, self._base_before)
        arrived = self._arrived
        arrived.append((arrival, octets, self.queue))
        while arrival - arrived[0][0] > WINDOW:
            arrived.popleft()
        span = arrival - arrived[0][0]
        if span > WINDOW / 4:
            self.acked_rate = (sum(o for _, o, _ in arrived) - arrived[0][1]) * 8 / span
            if span > WINDOW / 2:
                self._peak = max(self._peak, self.acked_rate)

    def _excess(self, number: int, excused: float) -> float:
        """The queue of packet `number` less what our own burst explains: the time it would wait on a line of the rate
        we believe in, counting what was sent in the last half second."""
        rate = max(self.estimate, self.probe_rate) if self.limited else max(self._peak, self._peak_before)
        times, sizes = self.times, self.sizes
        wait = 0.0
        if rate:
            begin = number
            oldest = max(1, self.next - SENT, number - SENT // 2)
            while begin > oldest and times[number & SENT_MASK] - times[begin - 1 & SENT_MASK] < WINDOW:
                begin -= 1
            before = times[begin & SENT_MASK]
            for each in range(begin, number + 1):
                at = each & SENT_MASK
                wait = max(0.0, wait - times[at] + before) + sizes[at] * 8 / rate
                before = times[at]
        return max(0.0, self.queue - max(excused, min(wait, OWN_BURST)))

    def _decide(self, excess: float, lost: float, now: float) -> None:
        passed, self._updated = min(now - self._updated, 0.5), now
        queued = (
            excess > QUEUED
            or self._before > QUEUEING < excess > self._before
            or (excess > QUEUEING and lost > LOST)
        )
        self._before = excess
        lossy = self._judge_loss(now)
        if (queued or lossy) and self.acked_rate:
            self._decrease(now, lossy and not queued)
        elif self.limited and self.queue < RELAXED:
            if self.probe_rate and now > self._probe_until:
                self.estimate = max(self.estimate, min(self.probe_rate, self.acked_rate))
                self.probe_rate, self._probe_wait, self._probe_step = 0.0, PROBE_FIRST, PROBE_LEAP
                self._congested_at = now - PROBE_FIRST + PROBE_AGAIN
            elif self.estimate < 1.5 * self.acked_rate:
                self.estimate *= 1 + GROWTH * passed

    def _decrease(self, now: float, for_loss: bool) -> None:
        if self.probe_rate:
            self._probe_wait = min(1.5 * self._probe_wait, PROBE_LATEST)
            self.probe_rate = 0.0
        self._probe_step = PROBE_STEP
        self._congested_at = now
        passes = self._passes() / (1 - self._inherent)
        since = now - self._decreased_at
        drains = self.queue < self._drain_from - GROWTH * since
        before = self.estimate if self.limited else max(self._peak, self._peak_before, passes)
        pressure = BACK_OFF if since > 3 * WINDOW else self._pressure
        if since > WINDOW and not drains:  # so that the last decrease is seen in what arrives
            pressure = min(BACK_OFF, pressure * BACK_OFF) if since < 3 * WINDOW else BACK_OFF
        elif self.limited and pressure * passes > 0.7 * self.estimate:
            return  # it may yet have been enough
        if for_loss and self._trial is None:
            self._trial = (self.loss, passes / (1 - min(self.loss, 0.9)), before)
        if self.queue > DEEP and now > self._draining_until + DRAIN_SECONDS:
            self._draining_until = now + DRAIN_SECONDS
        self._decreased_at = now
        self._drain_from = self.queue
        self._pressure = pressure
        self.estimate = max(MINIMUM, before / 2, pressure * passes)
        self.limited = True

    def _passes(self) -> float:
        """What the line lets through: the arriving rate since there was a queue, for then it was never idle."""
        octets, begin = 0, 0.0
        for arrival, size, queue in reversed(self._arrived):
            begin = arrival
            if queue < RELAXED:
                break
            octets += size
        else:
            octets -= self._arrived[0][1]
        span = self._arrived[-1][0] - begin
        if span < WINDOW / 5:
            return min(self.acked_rate, self.estimate) if self.limited else self.acked_rate
        return octets * 8 / span

    def drains(self, now: float) -> bool:
        """Whether pictures should wait until the queue is gone: the keyframe of a smaller one would be lost in it."""
        if self.queue < QUEUEING:
            self._draining_until = min(self._draining_until, now)
        return now < self._draining_until

    def _judge_loss(self, now: float) -> bool:
        """At the end of a window, whether so much was lost that less should be sent."""
        passed = now - self._window_at
        if passed < WINDOW or self._counted < 20:
            return False
        loss = self.loss = self._lost / self._counted
        rate, counted = self._octets * 8 / passed, self._counted
        self._counted = self._lost = self._octets = 0
        self._window_at = now
        if self._trial is not None:
            loss_before, rate_before, estimate = self._trial
            if loss < 0.6 * loss_before:
                self._trial = None  # it helped
            elif rate < 0.9 * rate_before and counted >= 50:
                # Less was sent, and as large a part of it is lost.
                self._trial = None
                self._inherent = min(loss, INHERENT)
                self.estimate = max(self.estimate, estimate)
                return False
        elif loss < self._inherent:
            self._inherent += (loss - self._inherent) * GROWTH
        return loss - SURE * sqrt(loss * (1 - loss) / counted) > max(LOST, 1.3 * self._inherent + 0.05)

    def wants_probe(self, needed: float, now: float) -> bool:
        """Begin to probe for `needed` bits per second if it is time; whether a probe is under way."""
        if self.probe_rate:
            if now > self._probe_until + 2 * WINDOW:
                self.probe_rate = 0.0  # no feedback came: nothing learnt
            return now <= self._probe_until
        if not self.limited or needed <= self.estimate or now - self._congested_at < self._probe_wait:
            return False
        self.probe_rate = min(1.1 * needed, self._probe_step * self.estimate)
        self.probe_extra = max(0.0, self.probe_rate - self.acked_rate)
        self._probe_until = now + PROBE_SECONDS
        return True
