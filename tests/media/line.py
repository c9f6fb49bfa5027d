"""A modelled line between the server and one subscriber: deterministic in rate, queue, loss, jitter and standstills."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from media import rtcp
from media.allocate import Choice, allocate
from media.downlink import Downlink, Standstills
from media.feedback import ArrivalLog
from media.rtcp import TransportFeedback

PACKET = 1000
STEP = 0.005
TICK = 0.02


class Line:
    """A bottleneck: `rate` bits per second, a drop-tail queue, a propagation delay; the client reports every 60 ms.

    `loss` is the share lost at random, `jitter` seconds are added at random without reordering; `pause(at, seconds)`
    lets the server stand still, `doze(at, seconds)` the client.
    """

    def __init__(
        self,
        rate: float,
        *,
        queue_seconds: float = 0.3,
        delay: float = 0.02,
        lose_every: int = 0,
        loss: float = 0.0,
        jitter: float = 0.0,
        standstills: Standstills | None = None,
    ) -> None:
        self.rate = rate
        self.queue_seconds = queue_seconds
        self.delay = delay
        self.lose_every = lose_every
        self.loss = loss
        self.jitter = jitter
        self.standstills = standstills or Standstills()
        self.downlink = Downlink(self.standstills)
        self.now = 1000.0
        self.start = self.now
        self.layers: Sequence[float] = ()
        self.keyframe = 0  # octets that are sent at once every three seconds
        self._place = 99
        self._random = Random(4711)
        self._free = 0.0  # when the bottleneck is idle again
        self._log = ArrivalLog()
        self._arrivals: list[tuple[float, int]] = []
        self._latest = 0.0
        self._reported = self.now
        self._ticked = self.now
        self._keyframe_at = self.now + 1.5
        self._credit = 0.0
        self._pauses: list[tuple[float, float]] = []
        self._dozes: list[tuple[float, float]] = []
        self.dropped = 0

    def pause(self, at: float, seconds: float) -> None:
        """Nothing is sent or handled for so long; what was just stamped leaves at the end. `at` from the start."""
        self._pauses.append((self.start + at, self.start + at + seconds))

    def doze(self, at: float, seconds: float) -> None:
        """The client reads nothing for so long, and then all at once."""
        self._dozes.append((self.start + at, self.start + at + seconds))

    def wants(self, wanted: float, share: float) -> float:
        """What is sent now: `wanted`, or the part of it that fits the estimate; with `layers` the best that does."""
        downlink = self.downlink
        if not self.layers:
            return min(wanted, share * downlink.estimate) if downlink.limited else wanted
        sound = 40_000.0
        if not downlink.limited:
            return sound + self.layers[-1]
        demand = [Choice(rate, place) for place, rate in enumerate(self.layers)]
        (self._place,) = allocate(downlink.estimate - sound, [demand], [self._place])
        return sound + (self.layers[self._place] if self._place >= 0 else 0.0)

    def run(self, seconds: float, wanted: float, *, share: float = 1.0) -> list[float]:
        """Send; probe when it is time. The estimates at each report (`wanted` as long as there is no limit)."""
        end = self.now + seconds
        estimates: list[float] = []
        while self.now < end:
            downlink = self.downlink
            rate = self.wants(wanted, share)
            if downlink.wants_probe(wanted, self.now):
                rate += downlink.probe_extra
            self._credit += rate / 8 * STEP
            if self.keyframe and self.now >= self._keyframe_at:
                self._keyframe_at += 3
                self._credit += self.keyframe
            pausing = [end for begin, end in self._pauses if begin <= self.now < end]
            leaves = pausing[0] if pausing else self.now
            while self._credit >= PACKET:
                self._credit -= PACKET
                self._send(leaves)
            if pausing:
                self._credit += rate / 8 * (leaves - self.now)
                self.now = leaves
                self._pauses = [span for span in self._pauses if span[1] > leaves]
            else:
                self.now += STEP
            if self.now - self._ticked >= TICK:
                self.standstills.tick(self._ticked, self.now, TICK)
                self._ticked = self.now
            if self.now - self._reported >= 0.06 and not any(a <= self.now < b for a, b in self._dozes):
                self._report()
                estimates.append(downlink.estimate if downlink.limited else wanted)
        return estimates

    def until(self, condition: str, wanted: float, seconds: float = 60.0) -> float:
        """Seconds until the picture is at `condition` ("best", "least or none")."""
        begun = self.now
        while self.now - begun < seconds:
            self.run(STEP, wanted)
            best = not self.downlink.limited or self._place == len(self.layers) - 1
            if best if condition == "best" else self.downlink.limited and self._place <= 0:
                break
        return self.now - begun

    @property
    def held_back(self) -> bool:
        """Whether no layer fits."""
        return self.downlink.limited and self._place < 0

    def _send(self, leaves: float) -> None:
        number = self.downlink.next
        self.downlink.note(PACKET, self.now)
        start = max(leaves, self._free)
        lost = self.lose_every and number % self.lose_every == 0
        if lost or self._random.random() < self.loss or start - leaves > self.queue_seconds:
            self.dropped += 1
            return
        self._free = start + PACKET * 8 / self.rate
        at = max(self._latest, self._free + self.delay + self._random.uniform(0, self.jitter))
        at = next((end for begin, end in self._dozes if begin <= at < end), at)
        self._latest = at
        self._arrivals.append((at, number & 0xFFFF))

    def _report(self) -> None:
        self._reported = self.now
        while self._arrivals and self._arrivals[0][0] <= self.now:
            at, number = self._arrivals.pop(0)
            self._log.pending[number] = at + 5_000_000  # the client's clock is another one
        for data in self._log.take(1, 2):
            (packet,) = rtcp.parse(data, len(data))
            assert isinstance(packet, TransportFeedback)
            self.downlink.on_feedback(packet, self.now)
