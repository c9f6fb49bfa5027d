"""What a meter lets through: the rate, and a bounded burst beyond it; and that one peer's flood is his own affair."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.limits import Meter
from tests.media.client import OPUS_PT, VP8_PT, rtp
from tests.media.conftest import MakeWorld
from tests.media.test_server import pair, speak

RATE, BURST = 50.0, 20


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.001, 0.02, 0.5, 30.0]), st.integers(1, 60)), max_size=60))
def test_a_meter_lets_through_its_rate_and_a_bounded_burst(steps: list[tuple[float, int]]) -> None:
    now = 100.0
    meter = Meter(RATE, BURST, now)
    passed: list[float] = []
    for wait, count in steps:
        now += wait
        quiet = wait * RATE >= BURST
        before = len(passed)
        for _ in range(count):
            if meter.left > 0 or meter.refill(now):
                meter.left -= 1
                passed.append(now)
        if quiet:  # whoever was quiet for long may burst at once
            assert len(passed) - before >= min(count, BURST)
        for at, start in enumerate(passed):
            if at == 0 or passed[at - 1] != start:
                assert len(passed) - at <= 2 * BURST + 1 + (now - start) * RATE


async def test_a_flood_is_dropped_and_the_others_go_on(make_world: MakeWorld) -> None:
    world = await make_world(receive_packets_per_second=50.0, receive_packets_burst=100)
    ann, zoe = await pair(world)
    got = len(zoe.rtp)
    for number in range(600):
        ann.send(rtp(2000, VP8_PT, number, 0, b"\x10\x00\x9d\x01\x2a" + b"%d" % number, mid="1"))
    await world.until(lambda: world.server.counters().drops.get("receive_rate_exceeded", 0) >= 350)
    speak(zoe, 7000)
    await ann.until(lambda: any(p.payload == b"opus-7000" for p in ann.rtp))
    assert len(zoe.rtp) - got <= 220
    # And once it is over, the flooder is heard again.
    number = 8000

    def heard() -> bool:
        nonlocal number
        number += 1
        ann.send(rtp(1000, OPUS_PT, number, number * 960, b"again", mid="0"))
        return any(p.payload == b"again" for p in zoe.rtp)

    await zoe.until(heard)
