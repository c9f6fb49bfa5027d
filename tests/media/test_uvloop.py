"""The same server on uvloop, which is what the product runs it on."""

from __future__ import annotations

import uvloop

from media import MediaConfig, MediaEvent, MediaServer, PeerJoined, PeerLeft
from tests.media.client import OPUS_PT, caller, rtp


async def talk(events: list[MediaEvent]) -> None:
    server = await MediaServer.start(MediaConfig(port=0), on_event=events.append)
    ann, zoe = await caller(server, "ann").connect(), await caller(server, "zoe").connect()
    ann.send(rtp(1, OPUS_PT, 1, 1, b"first", mid="0"))
    await ann.until(lambda: any(isinstance(e, PeerJoined) for e in events))
    await zoe.until(
        lambda: (s := server.slots("room", "zoe")) is not None and s.slots[0].participant_id == "ann"
    )
    ann.send(rtp(1, OPUS_PT, 2, 961, b"second", mid="0"))
    await zoe.until(lambda: any(p.payload == b"second" for p in zoe.rtp))
    await ann.close()
    await zoe.close()
    await server.close()


def test_sound_passes_on_uvloop() -> None:
    events: list[MediaEvent] = []
    uvloop.run(talk(events))
    assert [type(e) for e in events if isinstance(e, PeerJoined | PeerLeft)] == [PeerJoined, PeerLeft]
