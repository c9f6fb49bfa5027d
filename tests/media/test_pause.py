"""A line too narrow for the picture: it is held back with an event, sound goes on, and it comes back without a hole."""

from __future__ import annotations

import asyncio

from media import SlotPaused
from media.rtcp import KeyframeRequest
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, Client, rtp, section
from tests.media.conftest import MakeWorld, World


def remb(rate: int) -> bytes:
    """Receiver estimated maximum bitrate in the units its six-bit exponent allows."""
    exponent = max(0, rate.bit_length() - 18)
    mantissa = rate >> exponent
    return (
        bytes.fromhex("8fce0005 00000001 00000000 52454d42 01")
        + bytes((exponent << 2 | mantissa >> 16,))
        + (mantissa & 0xFFFF).to_bytes(2, "big")
        + bytes(4)
    )


def without_transport(lines: list[str]) -> list[str]:
    return [line for line in lines if "transport-" not in line]


async def test_a_picture_is_paused_and_resumed(world: World) -> None:
    ann = await world.join("ann")
    slots = [
        without_transport(section("2", "audio", "recvonly")),
        without_transport(section("3", "video", "recvonly")),
    ]
    zoe = Client(world.server, "room", "zoe", "zoe", slots)
    world.clients.append(zoe)
    await zoe.connect()
    number = 0

    async def send(seconds: float, key: bool = False) -> None:
        """A picture of about a megabit a second, and sound."""
        nonlocal number
        for _ in range(round(seconds / 0.01)):
            number += 1
            ann.send(rtp(1000, OPUS_PT, number, number * 960, b"sound", mid="0"))
            payload = (KEYFRAME if key else DELTA) + bytes(1200)
            ann.send(rtp(2000, VP8_PT, number, number * 900, payload, mid="1", marker=True))
            key = False
            await asyncio.sleep(0.01)

    def pictures() -> list[int]:
        return [p.sequence for p in zoe.rtp if p.payload_type == VP8_PT]

    await send(0.1)
    await send(2.5, key=True)  # the rate of a stream is known after two reports
    assert len(pictures()) > 100
    zoe.send_rtcp(remb(100_000))
    while not world.all(SlotPaused):
        await send(0.05)
    assert world.all(SlotPaused) == [SlotPaused("room", "zoe", "3", True)]
    await send(0.1)
    count, sounds = len(pictures()), sum(p.payload_type == OPUS_PT for p in zoe.rtp)
    await send(0.3)
    await zoe.until(lambda: sum(p.payload_type == OPUS_PT for p in zoe.rtp) > sounds + 20)
    assert len(pictures()) == count
    asked = sum(isinstance(p, KeyframeRequest) for p in ann.rtcp)
    zoe.send_rtcp(remb(5_000_000))
    while len(world.all(SlotPaused)) < 2:
        await send(0.05)
    assert world.all(SlotPaused)[1] == SlotPaused("room", "zoe", "3", False)
    await ann.until(lambda: sum(isinstance(p, KeyframeRequest) for p in ann.rtcp) > asked)
    await send(0.2, key=True)
    await zoe.until(lambda: len(pictures()) > count)
    assert [n - pictures()[0] & 0xFFFF for n in pictures()] == list(range(len(pictures())))


async def test_without_adaptation_nothing_is_numbered_and_nothing_is_paused(make_world: MakeWorld) -> None:
    world = await make_world(adapt_downlink=False)
    await world.join("ann")
    zoe = await world.join("zoe")
    peer = world.server._rooms["room"].peers["zoe"]
    assert peer.numbered, "the client has offered transport-wide numbers"
    assert all(outlet.downlink is None for outlet in peer.outlets.values())
    zoe.send_rtcp(remb(100_000))
    await asyncio.sleep(0.1)
    assert not peer.downlink.limited
    assert not world.all(SlotPaused)
