"""The downlink estimate against a modelled line, the allocation against its promises, feedback against its writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.allocate import Choice, allocate
from media.downlink import MINIMUM, Downlink
from media.feedback import ArrivalLog
from media.rtcp import Remb, TransportFeedback
from media.rtp import ParseError
from tests.media.test_rtcp import read_feedback

PACKET = 1000


class Line:
    """A bottleneck: `rate` bits per second, a drop-tail queue, a propagation delay; the client reports every 60 ms."""

    def __init__(
        self, rate: float, *, queue_seconds: float = 0.3, delay: float = 0.02, lose_every: int = 0
    ) -> None:
        self.rate = rate
        self.queue_seconds = queue_seconds
        self.delay = delay
        self.lose_every = lose_every
        self.downlink = Downlink()
        self.now = 1000.0
        self._free = 0.0  # when the bottleneck is idle again
        self._log = ArrivalLog()
        self._arrivals: list[tuple[float, int]] = []
        self._reported = self.now
        self._credit = 0.0
        self.dropped = 0

    def run(self, seconds: float, wanted: float, *, share: float = 1.0) -> list[float]:
        """Send `wanted` bits per second, or `share` of the estimate if limited to less; probe when it is time.
        The estimates at each report."""
        end = self.now + seconds
        estimates: list[float] = []
        while self.now < end:
            downlink = self.downlink
            rate = min(wanted, share * downlink.estimate) if downlink.limited else wanted
            if downlink.wants_probe(wanted, self.now):
                rate += downlink.probe_extra
            self._credit += rate / 8 * 0.005
            while self._credit >= PACKET:
                self._credit -= PACKET
                self._send()
            self.now += 0.005
            if self.now - self._reported >= 0.06:
                self._report()
                estimates.append(downlink.estimate if downlink.limited else wanted)
        return estimates

    def _send(self) -> None:
        number = self.downlink.next
        self.downlink.note(PACKET, self.now)
        start = max(self.now, self._free)
        lost = self.lose_every and number % self.lose_every == 0
        if lost or start - self.now > self.queue_seconds:
            self.dropped += 1
            return
        self._free = start + PACKET * 8 / self.rate
        self._arrivals.append((self._free + self.delay, number & 0xFFFF))

    def _report(self) -> None:
        self._reported = self.now
        while self._arrivals and self._arrivals[0][0] <= self.now:
            at, number = self._arrivals.pop(0)
            self._log.pending[number] = at + 5_000_000  # the client's clock is another one
        for data in self._log.take(1, 2):
            (packet,) = rtcp.parse(data, len(data))
            assert isinstance(packet, TransportFeedback)
            self.downlink.on_feedback(packet, self.now)


def test_a_wide_line_is_never_limited() -> None:
    line = Line(20e6)
    line.run(10, 4e6)
    assert not line.downlink.limited
    assert line.downlink.acked_rate == pytest.approx(4e6, rel=0.1)


@pytest.mark.parametrize("rate", [300e3, 1e6, 2.5e6])
@pytest.mark.parametrize("queue_seconds", [0.1, 0.3, 1.0])
def test_a_narrow_line_is_recognised_and_filled(rate: float, queue_seconds: float) -> None:
    line = Line(rate, queue_seconds=queue_seconds)
    line.run(3, 4e6)
    assert line.downlink.limited and line.downlink.estimate < 1.2 * rate  # within three seconds of the start
    line.run(10, 4e6)
    estimates = line.run(30, 4e6)
    average = sum(estimates) / len(estimates)
    assert 0.6 * rate < average < 1.15 * rate
    assert min(estimates) > 0.35 * rate


def test_the_rate_falls_and_comes_back_with_the_line() -> None:
    line = Line(5e6)
    line.run(5, 3e6)
    assert not line.downlink.limited
    line.rate = 300e3
    line.run(3, 3e6)
    assert line.downlink.estimate < 400e3
    line.run(10, 3e6)
    line.rate = 5e6
    line.run(15, 3e6)
    assert line.downlink.estimate > 2.5e6


def test_a_paused_picture_is_probed_for() -> None:
    """Little is sent (sound only), so that only probing can find out that there is room again."""
    line = Line(150e3)
    line.run(5, 2e6, share=0.3)
    assert line.downlink.estimate < 300e3
    line.rate = 5e6
    line.run(25, 2e6, share=0.3)
    assert line.downlink.estimate > 1.5e6


def test_radio_losses_are_not_congestion() -> None:
    line = Line(20e6, lose_every=20)
    line.run(10, 2e6)
    assert not line.downlink.limited


def test_heavy_loss_is() -> None:
    line = Line(20e6, lose_every=4)
    line.run(10, 2e6)
    assert line.downlink.limited and MINIMUM <= line.downlink.estimate < 1.6e6


ARRIVALS = st.lists(st.one_of(st.none(), st.integers(-(1 << 20), 1 << 20)), max_size=40)


@given(st.lists(st.tuples(st.integers(0, 65535), ARRIVALS), max_size=20))
def test_feedback_about_anything_is_survived(story: list[tuple[int, list[int | None]]]) -> None:
    downlink = Downlink()
    now = 5.0
    for base, arrivals in story:
        for _ in range(10):
            downlink.note(1200, now)
        now += 0.05
        downlink.on_feedback(TransportFeedback(base, base * 77 & 0xFFFFFF, tuple(arrivals)), now)
        assert downlink.estimate >= MINIMUM or not downlink.limited


# Feedback on the wire.


@given(
    st.integers(0, 65535), st.lists(st.tuples(st.integers(1, 40), st.floats(-0.02, 0.5)), min_size=1, max_size=300)
)  # fmt: skip
def test_what_one_side_writes_the_other_reads(first: int, steps: list[tuple[int, float]]) -> None:
    log = ArrivalLog()
    number, now = first, 100.0
    for gap, delay in steps:
        number = number + gap & 0xFFFF
        now = max(100.0, now + delay)
        log.pending[number] = now
    for data in log.take(1, 2):
        (packet,) = rtcp.parse(data, len(data))
        assert isinstance(packet, TransportFeedback)
        told = {
            packet.base + place & 0xFFFF: packet.reference * 256 + ticks
            for place, ticks in enumerate(packet.arrivals)
            if ticks is not None
        }
        assert told == read_feedback(data)


@pytest.mark.parametrize("body", [
    "0001ffff 000000 00 2001",  # more statuses than are believed
    "00010008 000000 00 2008",  # no deltas
    "00010008 000000 00 6001",  # half a chunk list
    "00010002 000000 00 4002 0000",  # one large delta of two
    "00010001",
])  # fmt: skip
def test_malformed_feedback(body: str) -> None:
    data = bytes.fromhex("00000001 00000002" + body)
    data += bytes(-len(data) % 4)
    packet = bytes((0x8F, rtcp.RTPFB)) + (len(data) // 4).to_bytes(2, "big") + data
    with pytest.raises(ParseError):
        rtcp.parse(packet, len(packet))


def test_remb() -> None:
    mantissa, exponent = 0x3FFFF, 10
    body = bytes((1, exponent << 2 | mantissa >> 16)) + (mantissa & 0xFFFF).to_bytes(2, "big")
    data = bytes.fromhex("8fce0005 00000001 00000000") + b"REMB" + body + bytes(4)
    assert rtcp.parse(data, len(data)) == [Remb(float(mantissa << exponent))]
    downlink = Downlink()
    downlink.on_remb(1.0)
    assert downlink.limited and downlink.estimate == MINIMUM


# The allocation.

RATES = st.lists(st.integers(10, 3000).map(float), max_size=5).map(sorted)
DEMANDS = st.lists(RATES, max_size=6)


@given(st.integers(0, 10000).map(float), DEMANDS)
def test_nobody_gets_more_while_somebody_more_important_could_have_something(
    budget: float, rates: list[list[float]]
) -> None:
    demands = [[Choice(rate, place) for place, rate in enumerate(one)] for one in rates]
    present = [99] * len(demands)
    places = allocate(budget, demands, present)
    spent = sum(demands[who][place].rate for who, place in enumerate(places) if place >= 0)
    assert spent <= budget
    for who, place in enumerate(places):
        assert -1 <= place < len(demands[who])
        if demands[who] and place < 0:  # left out only where its least did not fit beside the leasts before
            leasts = sum(one[0].rate for i, one in enumerate(demands[:who]) if one and places[i] >= 0)
            assert leasts + demands[who][0].rate > budget
        if 0 <= place < len(demands[who]) - 1:  # one step more would not have fitted
            later = sum(demands[i][0].rate for i in range(who + 1, len(demands)) if places[i] >= 0)
            before = sum(demands[i][places[i]].rate for i in range(who) if places[i] >= 0)
            assert before + demands[who][place + 1].rate + later > budget


def test_a_better_choice_needs_room_to_spare() -> None:
    demand = [[Choice(100.0, 0), Choice(500.0, 1)]]
    assert allocate(510, demand, [0]) == [0]
    assert allocate(510, demand, [1]) == [1]
    assert allocate(560, demand, [0]) == [1]
    assert allocate(105, demand, [-1]) == [-1]
    assert allocate(99, demand, [1]) == [-1]
