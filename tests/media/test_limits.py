"""What a meter lets through: the rate, and a bounded burst beyond it; and that one peer's flood is his own affair."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import OfferError, PeerJoined
from media.limits import Meter, SourceLimiter
from tests.media.client import OPUS_PT, VP8_PT, caller, rtp
from tests.media.conftest import MakeWorld
from tests.media.test_server import VIDEO, pair, speak

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


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.1, 5.0])), max_size=80),
)
def test_sources_are_limited_one_by_one_and_only_so_many_are_remembered(
    most: int, charges: list[tuple[int, float]]
) -> None:
    limiter = SourceLimiter(1.0, 3.0, most)
    now = 0.0
    costs: dict[str, list[float]] = {}
    for source, wait in charges:
        now += wait
        name = f"192.0.2.{source}"
        if limiter.allowed(name, now):
            limiter.charge(name, now)
            costs.setdefault(name, []).append(now)
        assert len(limiter) <= most
    # Nobody who was remembered all the time could do more than his burst and his rate.
    if len(costs) <= most:
        for times in costs.values():
            for at, start in enumerate(times):
                assert len(times) - at <= 3 + 1 + (now - start) * 1.0


async def test_strangers_with_a_known_ssrc_may_cause_so_much_authentication(make_world: MakeWorld) -> None:
    """Each such packet costs a decryption before it may move a peer: three, and then none."""
    world = await make_world(moves_per_second=0.001, moves_burst=3)
    ann, zoe = await pair(world)
    before = world.server.counters().drops
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect(("127.0.0.1", world.server.port))
        for number in range(10):
            stranger.send(rtp(VIDEO, VP8_PT, 500 + number, 0, bytes(40)))
        speak(zoe, 7000)
        await ann.until(lambda: any(p.payload == b"opus-7000" for p in ann.rtp))

    def more(reason: str) -> int:
        return world.server.counters().drops.get(reason, 0) - before.get(reason, 0)

    await world.until(lambda: more("rtp_unknown_address") == 7)
    assert more("srtp_auth_failed") == 3


async def test_a_peer_has_so_many_addresses_and_keeps_the_newest(make_world: MakeWorld) -> None:
    world = await make_world(max_addresses_per_peer=4)
    ann, zoe = await pair(world)
    for number in range(10):
        await ann.open()  # another port each time
        await ann.check()
        speak(ann, 100 + number)
        await zoe.until(lambda n=number: any(p.payload == b"opus-%d" % (100 + n) for p in zoe.rtp))  # type: ignore[misc]
    held = world.server._peers[1].addresses
    assert len(held) == 4 and ann.local_address in held
    assert sum(peer is world.server._peers[1] for peer in world.server._transport.by_address.values()) == 4


async def test_receive_slots_are_limited(make_world: MakeWorld) -> None:
    world = await make_world(max_slots_per_peer=6)
    await caller(world.server, "ann", slots=3).join()
    with pytest.raises(OfferError) as refused:
        await caller(world.server, "zoe", slots=4).join()
    assert refused.value.code == "too_many_streams"
    assert world.server.counters().peers == 1


async def test_what_is_gone_leaves_nothing_behind(make_world: MakeWorld) -> None:
    """Rooms, peers, addresses, SSRCs, names: after so many joins and leaves as after the first."""
    world = await make_world()

    def held() -> tuple[int, ...]:
        server, transport = world.server, world.server._transport
        tables = (server._rooms, server._peers, transport.by_address, transport._by_ufrag, transport._by_ssrc)
        return tuple(len(table) for table in tables)

    for number in range(5):
        ann, zoe = await world.join("ann", room=f"r{number}"), await world.join("zoe", room=f"r{number}")
        speak(ann, 1)
        speak(zoe, 1)
        await world.until(lambda n=2 * number + 2: len(world.all(PeerJoined)) == n)  # type: ignore[misc]
        world.server.leave(f"r{number}", "ann")
        world.server.leave(f"r{number}", "zoe")
        assert held() == (0, 0, 0, 0, 0)
