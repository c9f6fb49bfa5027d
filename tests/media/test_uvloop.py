"""The same server on uvloop, which is what the product runs it on."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from media import MediaConfig, MediaEvent, MediaServer, PeerJoined, PeerLeft
from tests.media.client import OPUS_PT, caller, rtp


async def talk(events: list[MediaEvent], *, tcp: bool) -> None:
    server = await MediaServer.start(MediaConfig(port=0), on_event=events.append)
    ann, zoe = await caller(server, "ann").connect(tcp=tcp), await caller(server, "zoe").connect(tcp=tcp)
    ann.send(rtp(1, OPUS_PT, 1, 1, b"first", mid="0"))
    await ann.until(lambda: any(isinstance(e, PeerJoined) for e in events))
    await zoe.until(
        lambda: (s := server.slots("room", "zoe")) is not None and s.slots[0].participant_id == "ann"
    )
    ann.send(rtp(1, OPUS_PT, 2, 961, b"second", mid="0"))
    await zoe.until(lambda: any(p.payload == b"second" for p in zoe.rtp))
    await ann.close()
    if zoe.stream is not None:  # he is hung up
        zoe.stream.closed.clear()
        server.leave("room", "zoe")
        await asyncio.wait_for(zoe.stream.closed.wait(), 5)
    await zoe.close()
    await server.close()


@pytest.mark.parametrize("tcp", [False, True])
def test_sound_passes_on_uvloop(tcp: bool) -> None:
    events: list[MediaEvent] = []
    uvloop.run(talk(events, tcp=tcp))
    assert [type(e) for e in events if isinstance(e, PeerJoined | PeerLeft)] == [PeerJoined, PeerLeft]
