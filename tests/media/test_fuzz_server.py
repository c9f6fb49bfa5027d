"""The whole server under broken datagrams, from strangers and from an authenticated peer, beside a call."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Literal

import pylibsrtp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import MediaConfig, MediaEvent, MediaServer
from media.rtp import DESCRIPTOR
from tests.media.client import Client, section
from tests.media.conftest import World
from tests.media.fuzz import broken, check, rtcp_packets, rtp_packets
from tests.media.test_data import application
from tests.media.test_hostile import works
from tests.media.test_server import shown, speak

Way = Literal["stranger", "same address", "rtp", "rtcp", "sctp"]
CODECS = (
    "a=rtpmap:45 AV1/90000",
    "a=rtpmap:106 H264/90000",
    "a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    f"a=extmap:12 {DESCRIPTOR}",
)
PAYLOAD_TYPES = (96, 97, 98, 45, 106, 111)
SSRCS = (7, 8, 9)
SCTP = [bytes.fromhex("1388138800000000") + bytes(4) + chunk for chunk in (
    bytes.fromhex("01000014") + bytes(16), bytes.fromhex("00030014") + bytes(16), bytes.fromhex("c0000008") + bytes(4),
)]  # fmt: skip


def video(mid: str, direction: str) -> list[str]:
    """A video m-line with every codec and the dependency descriptor."""
    lines = section(mid, "video", direction, extra=CODECS)
    return [lines[0] + " 45 106", *lines[1:]]


class Stage:
    """A server, a call of two, and a rogue in the same room. Its loop runs only while `run` does."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.said = 1
        self.number = 0
        self.events: list[MediaEvent] = []
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.runner.run(self._open())

    async def _open(self) -> None:
        # The clients check once; a long search is longer than a consent.
        config = MediaConfig(port=0, ice_timeout_seconds=1e9, media_silence_seconds=1e9)
        server = await MediaServer.start(config, on_event=self.events.append)
        self.world = World(server)
        self.stranger.connect(("127.0.0.1", server.port))
        self.ann, self.zoe = await self._join("ann"), await self._join("zoe")
        speak(self.ann, 1)
        speak(self.zoe, 1)
        await shown(self.world, self.zoe, "ann")
        await shown(self.world, self.ann, "zoe")
        self.rogue = await self._join("rogue")
        speak(self.rogue, 1)
        await shown(self.world, self.zoe, "rogue")

    async def _join(self, name: str) -> Client:
        sections = [section("0", "audio", "sendonly"), video("1", "sendonly")]
        for mid in range(2, 6, 2):
            sections += [section(str(mid), "audio", "recvonly"), video(str(mid + 1), "recvonly")]
        client = Client(self.world.server, "room", name, name, [*sections, application("9")])
        return await client.connect()

    def close(self) -> None:
        async def end() -> None:
            for client in (self.ann, self.zoe, self.rogue):
                await client.close()
            await self.world.server.close()

        self.runner.run(end())
        self.runner.close()
        self.stranger.close()

    async def play(self, datagrams: list[tuple[Way, bytes]]) -> None:
        """Send them all, and see that the call goes on."""
        if not self.server_has("rogue"):  # he may have ended his own session
            self.rogue = await self._join("rogue")
        for way, data in datagrams:
            with contextlib.suppress(pylibsrtp.Error, ConnectionError):
                await self._send(way, data)
        self.said += 1
        await works(self.ann, self.zoe, self.said)

    async def _send(self, way: Way, data: bytes) -> None:
        match way:
            case "stranger":
                self.stranger.send(data)
            case "same address":
                self.rogue.raw(data)
            case "rtcp":
                self.rogue.send_rtcp(data)
            case "sctp" if data:
                await self.rogue.dtls._send_data(data)
            case "rtp" if len(data) >= 12:
                # Mostly with a number that libsrtp has not seen, a stream and a type that are known.
                self.number += 1
                packet = bytearray(data)
                if data[2] < 0xF0:
                    packet[2:4] = (self.number & 0xFFFF).to_bytes(2, "big")
                if data[3] < 0xF0:
                    packet[1] = packet[1] & 0x80 | PAYLOAD_TYPES[data[5] % len(PAYLOAD_TYPES)]
                    packet[8:12] = SSRCS[data[5] % len(SSRCS)].to_bytes(4, "big")
                self.rogue.send(bytes(packet))
            case _:
                pass

    def server_has(self, name: str) -> bool:
        return any(s.peer_id == name for s in self.world.server.presence("room"))


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def datagrams() -> st.SearchStrategy[list[tuple[Way, bytes]]]:
    seeds = [
        check(),
        *rtcp_packets(),
        *rtp_packets(),
        b"\x16\xfe\xfd" + bytes(60),
        b"\x17\xfe\xfd" + bytes(30),
    ]
    ways: list[st.SearchStrategy[tuple[Way, bytes]]] = [
        st.tuples(st.just("stranger"), broken(seeds)),
        st.tuples(st.just("same address"), broken(seeds)),
        st.tuples(st.just("rtp"), broken(rtp_packets(), 1400)),
        st.tuples(st.just("rtcp"), broken(rtcp_packets(), 1400)),
        st.tuples(st.just("sctp"), broken(SCTP, 1100)),
    ]
    return st.lists(st.one_of(ways), min_size=3, max_size=20)


@given(sent=datagrams())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_call_goes_on(
    stage: Stage, caplog: pytest.LogCaptureFixture, sent: list[tuple[Way, bytes]]
) -> None:
    server = stage.world.server
    before = server.counters()
    with caplog.at_level(logging.WARNING):
        stage.runner.run(stage.play(sent))
    after = server.counters()
    assert caplog.records == []
    assert stage.server_has("ann") and stage.server_has("zoe") and after.rooms == 1 and after.peers <= 3
    # Nothing disappears: it is handled, or it is counted under a name.
    assert after.packets_in >= before.packets_in + 2
    assert all(name.replace("_", "").isalnum() for name in after.drops)
    for peer in server._peers.values():
        assert len(peer.ssrcs) <= 256 and len(peer.names_of) <= 256 and len(peer.addresses) <= 8
        for stream in peer.streams.values():
            assert len(stream.missing) <= stream.missing.MAX_MISSING and not stream.queue
    assert len(server._transport._stun_failures) <= 4096
