"""The downlink estimate against a modelled line, the allocation against its promises, feedback against its writer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.allocate import Choice, allocate
from media.downlink import MINIMUM, Downlink, Standstills
from media.feedback import ArrivalLog
from media.rtcp import Remb, TransportFeedback
from media.rtp import ParseError
from tests.media.line import Line
from tests.media.test_rtcp import read_feedback


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


LAYERS = (120e3, 450e3, 1.6e6)


def test_a_line_that_is_cut_and_restored(capsys: pytest.CaptureFixture[str]) -> None:
    """3 Mb/s, then 300 kb/s, then 3 Mb/s, with three layers and sound."""
    line = Line(3e6)
    line.layers = LAYERS
    line.run(10, 2e6)
    assert not line.downlink.limited
    line.rate = 300e3
    down = line.until("least", 2e6)
    waited = line.downlink.queue
    line.run(20, 2e6)
    assert not line.held_back and line.downlink.queue < 0.2
    line.rate = 3e6
    up = line.until("best", 2e6)
    with capsys.disabled():
        print(
            f" [cut: least layer after {down:.2f} s (queue {waited:.2f} s); back: best after {up:.2f} s] ",
            end="",
        )
    assert down < 3 and up < 20
    line.run(20, 2e6)
    assert line.wants(2e6, 1.0) > 1.6e6


@pytest.mark.parametrize("loss", [0.02, 0.1])
@pytest.mark.parametrize("rate", [400e3, 3e6])
def test_random_loss_does_not_stop_the_picture(loss: float, rate: float) -> None:
    line = Line(rate, loss=loss)
    line.layers = LAYERS
    line.run(5, 2e6)
    best = 0
    for _ in range(600):
        line.run(0.1, 2e6)
        assert not line.held_back
        best += line.wants(2e6, 1.0) > 1.6e6
    if rate > 2e6:
        assert best > 500  # hardly ever a worse picture for losses that less sending would not lessen


@pytest.mark.parametrize("jitter", [0.02, 0.06])
def test_jitter_is_no_queue(jitter: float) -> None:
    line = Line(4e6, jitter=jitter)
    line.run(30, 2e6)
    assert not line.downlink.limited


def test_a_loss_that_grows_with_the_rate_is_congestion() -> None:
    """A policer: no queue at all, what is too much is lost."""
    line = Line(1e6, queue_seconds=0.01)
    line.run(3, 3e6)
    estimates = line.run(20, 3e6)
    assert 0.5e6 < sum(estimates) / len(estimates) < 1.15e6


def test_a_loss_that_does_not_is_borne() -> None:
    line = Line(20e6, lose_every=4)
    line.run(10, 2e6)
    assert all(estimate > 1.6e6 for estimate in line.run(10, 2e6))


@pytest.mark.parametrize("rate", [2.2e6, 20e6])
def test_a_standstill_of_the_server_changes_nothing(rate: float) -> None:
    line = Line(rate, queue_seconds=0.3)
    for place in range(12):
        line.pause(5 + 1.7 * place, 0.15)
    line.run(30, 2e6)
    assert not line.downlink.limited


def test_nor_one_while_the_line_is_known_to_be_narrow() -> None:
    line, other = Line(1e6), Line(1e6)
    for place in range(12):
        other.pause(15.01 + 1.7 * place, 0.15)
    for each in (line, other):
        each.layers = (120e3, 450e3, 700e3)
        each.run(15, 1e6)
    usual, disturbed = line.run(25, 1e6), other.run(25, 1e6)
    assert sum(disturbed) / len(disturbed) > 0.85 * sum(usual) / len(usual)
    assert not other.held_back


def test_nor_does_a_client_that_dozes() -> None:
    line = Line(4e6)
    for place in range(12):
        line.doze(5 + 1.7 * place, 0.15)
    line.run(30, 2e6)
    assert not line.downlink.limited


def test_a_narrow_line_is_recognised_in_spite_of_standstills() -> None:
    line = Line(300e3)
    for place in range(40):
        line.pause(0.5 * place, 0.06)
    line.run(5, 2e6)
    assert line.downlink.limited and line.downlink.estimate < 450e3


def test_a_keyframe_is_no_congestion() -> None:
    line = Line(4e6)
    line.keyframe = 80_000  # 160 ms of the line
    line.run(30, 2e6)
    assert not line.downlink.limited


def test_two_subscribers_do_not_disturb_one_another() -> None:
    standstills = Standstills()
    narrow, wide = Line(200e3, standstills=standstills), Line(10e6, standstills=standstills)
    for _ in range(200):
        narrow.run(0.1, 2e6)
        wide.run(0.1, 2e6)
    assert narrow.downlink.limited and not wide.downlink.limited


def test_another_way_with_a_longer_delay_is_no_queue() -> None:
    line = Line(10e6)
    line.run(10, 2e6)
    line.delay = 0.2
    line.downlink.moved()
    line.run(10, 2e6)
    assert not line.downlink.limited


ARRIVALS = st.lists(st.one_of(st.none(), st.integers(-(1 << 20), 1 << 20)), max_size=40)


@given(st.lists(st.tuples(st.integers(0, 65535), ARRIVALS, st.booleans()), max_size=20), st.booleans())
def test_feedback_about_anything_is_survived(
    story: list[tuple[int, list[int | None], bool]], apt: bool
) -> None:
    standstills = Standstills()
    downlink = Downlink(standstills)
    now = 5.0
    for base, arrivals, stalled in story:
        base = downlink.next if apt else base  # also what was just sent, and claims about it
        for _ in range(40):
            downlink.note(1200, now)
            now += 0.02
        if stalled:
            standstills.tick(now - 0.2, now, 0.02)
        downlink.on_feedback(TransportFeedback(base & 0xFFFF, base * 77 & 0xFFFFFF, tuple(arrivals)), now)
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
