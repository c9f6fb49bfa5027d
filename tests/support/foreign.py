"""A WebRTC client that is not ours: aiortc's RTCPeerConnection, with its own ICE, DTLS, RTP, codecs and SDP."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame
from av.packet import Packet

Negotiate: TypeAlias = Callable[[str], Awaitable[str]]  # an offer in, its answer out
PATIENCE = 20.0  # seconds; an idle machine needs less than one


def bare(offer: str) -> str:
    """The offer as an encoder writes it: no header extensions, no RTX."""
    return re.sub(r"a=extmap[^\r\n]*\r?\n", "", offer)


def anonymous(offer: str) -> str:
    """And no SSRCs either: the payload type alone tells the m-lines apart."""
    return re.sub(r"a=ssrc[^\r\n]*\r?\n", "", bare(offer))


def waiting(offer: str) -> str:
    """And it insists on being the DTLS server, as ffmpeg does."""
    return anonymous(offer).replace("a=setup:actpass", "a=setup:passive")


@dataclass(slots=True)
class Foreigner:
    """One connection. What it receives is decoded at once and counted by kind."""

    pc: RTCPeerConnection = field(default_factory=RTCPeerConnection)
    frames: dict[str, int] = field(default_factory=lambda: {"audio": 0, "video": 0})
    last: dict[str, Frame | Packet[Any]] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def send(self, *tracks: MediaStreamTrack) -> None:
        """By default one of each kind: silence and a test picture."""
        for track in tracks or (AudioStreamTrack(), VideoStreamTrack()):
            self.pc.addTransceiver(track, direction="sendonly")

    def prefer(self, codec: str) -> None:
        """Offer this video codec alone, e.g. "video/H264"."""
        capable = RTCRtpSender.getCapabilities("video")
        for transceiver in self.pc.getTransceivers():
            if transceiver.kind == "video":
                transceiver.setCodecPreferences([c for c in capable.codecs if c.mimeType == codec])

    def receive(self, *kinds: str) -> None:
        @self.pc.on("track")
        def begin(track: MediaStreamTrack) -> None:
            self._tasks.add(asyncio.create_task(self._consume(track)))

        for kind in kinds or ("audio", "video"):
            self.pc.addTransceiver(kind, direction="recvonly")

    async def negotiate(self, with_: Negotiate, munge: Callable[[str], str] = str) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await with_(munge(self.pc.localDescription.sdp))
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looked at whenever a frame was decoded."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def watch(self, more: int = 5) -> None:
        """Wait until so many more frames of each kind that is received have been decoded."""
        before = dict(self.frames)
        kinds = {t.kind for t in self.pc.getTransceivers() if t.direction == "recvonly"}
        await self.until(lambda: all(self.frames[kind] >= before[kind] + more for kind in kinds))

    async def close(self) -> None:
        await self.pc.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _consume(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):  # the track's end
            while True:
                self.last[track.kind] = await track.recv()
                self.frames[track.kind] += 1
                self._arrived.set()


@contextlib.asynccontextmanager
async def foreigner() -> AsyncIterator[Foreigner]:
    somebody = Foreigner()
    try:
        yield somebody
    finally:
        await somebody.close()
