"""Synthetic peers against the real SFU on one event loop: the wire without bookings and sockets."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from loadtest.answer import parse_answer
from loadtest.dtls import Certificate
from loadtest.engine import Engine
from loadtest.offer import Identity, build_offer
from loadtest.options import Load, LoadError
from loadtest.peer import Peer
from loadtest.stream import VP8_PAYLOAD, Stream
from media import LeaveReason, MediaConfig, MediaEvent, MediaServer, PeerJoined, PeerLeft

LOAD = Load(seconds=1, warmup=0, video_kbps=900, fps=30)
SECOND = 1_000_000_000


class World:
    """An SFU, an engine and the peers that were made; everything ends with the test."""

    def __init__(self, media: MediaServer, events: list[MediaEvent]) -> None:
        self.media = media
        self.events = events
        self.engine = Engine(run=0xC0FFEE)
        self.certificate = Certificate.fresh()
        self.context = self.certificate.context()
        self.peers: list[Peer] = []

    async def join(self, room: str, number: int, spoil: str = "") -> Peer:
        identity = Identity.random()
        sdp = await self.media.join(
            room_id=room,
            participant_id=f"person-{number}",
            peer_id=f"peer-{number}",
            offer_sdp=build_offer(identity, self.certificate.fingerprint),
        )
        answer = parse_answer(sdp)
        if spoil == "fingerprint":
            answer = replace(answer, fingerprint=":".join(["00"] * 32))
        if spoil == "password":
            answer = replace(answer, password="x" * 24)
        peer = Peer(self.engine, self.context, identity, answer, answer.candidates[0], number, LOAD)
        self.peers.append(peer)
        peer.start()
        return peer

    async def measure(self, seconds: float) -> None:
        now = self.engine.now()
        self.engine.window_from, self.engine.window_to = now, now + int(seconds * SECOND)
        await asyncio.sleep(seconds)

    def streams(self) -> list[Stream]:
        senders = [peer.sender for peer in self.peers if peer.sender is not None]
        return [stream for sender in senders for stream in (sender.voice, sender.picture)]

    def arrived(self, stream: Stream) -> int:
        return self.engine.tally(stream.number).came(stream.window_first, stream.window_end)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about in 5 s")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    events: list[MediaEvent] = []
    media = await MediaServer.start(MediaConfig(port=0), on_event=events.append)
    world = World(media, events)
    world.engine.start()
    try:
        yield world
        assert not world.engine.crashed.done(), world.engine.crashed
    finally:
        for peer in world.peers:
            peer.close()
        world.engine.stop()
        await media.close()


async def test_two_peers_hear_each_other_and_nothing_is_lost(world: World) -> None:
    one, two = await world.join("room", 0), await world.join("room", 1)
    async with asyncio.timeout(5):
        assert await one.first_media > 0 and await two.first_media > 0
    await world.measure(1.2)

    streams = world.streams()
    assert len(streams) == 4 and all(stream.window_sent > 10 for stream in streams)
    await until(lambda: all(world.arrived(stream) == stream.window_sent for stream in streams))
    assert world.engine.strange == 0
    # Packets of the window's edges may be in the one account and not in the other: a burst is counted whole.
    assert len(world.engine.latencies) == pytest.approx(sum(stream.window_sent for stream in streams), abs=20)
    assert world.engine.feedback["transport_cc"] >= 1
    await until(lambda: world.engine.feedback.get("sender_report", 0) >= 1)


async def test_rooms_do_not_hear_each_other(world: World) -> None:
    here, there = await world.join("here", 0), await world.join("there", 1)
    await asyncio.sleep(0.6)
    assert here.sender is not None and there.sender is not None, "not connected"
    assert not here.first_media.done() and not there.first_media.done()


async def test_the_sfu_sees_people_come_and_go(world: World) -> None:
    one, two = await world.join("room", 0), await world.join("room", 1)
    async with asyncio.timeout(5):
        await asyncio.gather(one.first_media, two.first_media)
    one.close()
    await until(lambda: any(isinstance(event, PeerLeft) for event in world.events))
    assert {event.participant_id for event in world.events if isinstance(event, PeerJoined)} == {
        "person-0",
        "person-1",
    }
    [left] = [event for event in world.events if isinstance(event, PeerLeft)]
    assert (left.participant_id, left.reason) == ("person-0", LeaveReason.DTLS_CLOSE)


async def test_a_certificate_that_was_not_announced_is_refused(world: World) -> None:
    peer = await world.join("room", 0, spoil="fingerprint")
    with pytest.raises(LoadError, match="certificate"):
        async with asyncio.timeout(5):
            await peer.failed


async def test_no_media_without_the_ice_password(world: World) -> None:
    peer = await world.join("room", 0, spoil="password")
    await asyncio.sleep(0.5)
    assert peer.sender is None
    assert world.media.counters().drops["stun_integrity"] >= 2, "the check is not repeated"


async def test_a_packet_lost_on_the_way_up_is_asked_for_and_repaired(world: World) -> None:
    one, two = await world.join("room", 0), await world.join("room", 1)
    async with asyncio.timeout(5):
        await asyncio.gather(one.first_media, two.first_media)
    assert one.sender is not None
    picture = one.sender.picture
    await until(lambda: world.engine.tally(picture.number).highest >= 0)
    # A frame is numbered and kept for repairs, but never leaves: the SFU must ask, and we answer on the RTX stream.
    sent = one.sender._send
    lost = picture.next_index
    one.sender._send = lambda total, size, count: True  # type: ignore[method-assign]
    one.sender.video(world.engine.now(), world.engine.now())
    one.sender._send = sent  # type: ignore[method-assign]
    end = picture.next_index
    assert end > lost
    await until(lambda: world.engine.tally(picture.number).came(lost, end) == end - lost)
    assert world.engine.feedback["nack"] >= 1
    assert one.sender.repairs >= end - lost


async def test_repairs_do_not_take_more_than_the_video_itself(world: World) -> None:
    one, two = await world.join("room", 0), await world.join("room", 1)
    async with asyncio.timeout(5):
        await asyncio.gather(one.first_media, two.first_media)
    assert one.sender is not None
    sender, picture = one.sender, one.sender.picture
    await until(lambda: picture.packets > 20)
    before, began = sender.repairs, world.engine.now()
    for _ in range(500):
        sender.repair([picture.sequence - 1 & 0xFFFF])
    a_second = LOAD.video_kbps * 125 / VP8_PAYLOAD
    most = a_second * (1 + (world.engine.now() - began) / SECOND)
    assert a_second - 1 <= sender.repairs - before <= most + 1
