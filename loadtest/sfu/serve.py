"""Our side of the comparison: a process with nothing but a MediaServer, told over a socket who comes and goes.

    python -m loadtest.sfu.serve PATH

listens on a Unix socket of packets (SOCK_SEQPACKET) at PATH. Requests and replies are JSON with an `id`: `join` (room,
participant, peer, sdp) -> sdp; `leave` (room, peer); `figures` -> counters of the SFU and of the process. Ends when the
connection does.
"""

import asyncio
import gc
import json
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from media import Collector, MediaConfig, MediaServer, OfferError

MAX_MESSAGE = 200_000  # octets; a packet of SOCK_SEQPACKET is as large as the send buffer allows
# The product's own configuration but for the size of a room: a webinar of this benchmark has more people.
CONFIG = MediaConfig(port=0, max_peers_per_room=1000)


async def serve(path: Path) -> None:
    """Until the one connection ends."""
    loop = asyncio.get_running_loop()
    media = await MediaServer.start(CONFIG, on_event=lambda _: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen(1)
        connection, _ = await loop.sock_accept(listener)
    try:
        async with Collector(lambda: media.counters().packets_in):
            with connection:
                connection.setblocking(False)
                while message := await loop.sock_recv(connection, MAX_MESSAGE):
                    await loop.sock_sendall(
                        connection, json.dumps(await _act(media, json.loads(message))).encode()
                    )
    finally:
        await media.close()


async def _act(media: MediaServer, asked: dict[str, Any]) -> dict[str, Any]:
    reply: dict[str, Any] = {"id": asked["id"]}
    match asked["do"]:
        case "join":
            try:
                reply["sdp"] = await media.join(
                    room_id=asked["room"],
                    participant_id=asked["participant"],
                    peer_id=asked["peer"],
                    offer_sdp=asked["sdp"],
                )
            except OfferError as error:
                reply["error"] = str(error)
        case "leave":
            media.leave(asked["room"], asked["peer"])
        case "figures":
            counters = media.counters()
            gc.collect()
            objects = gc.get_objects()
            kinds = Counter(
                type(it).__name__ for it in objects if type(it).__module__.split(".")[0] == "media"
            )
            reply |= {
                "objects": len(objects),
                "media_objects": dict(kinds.most_common()),
                "drops": counters.drops,
                "rooms": counters.rooms,
                "peers": counters.peers,
                "packets_out": counters.packets_out,
            }
        case _:
            reply["error"] = f"unknown request {asked['do']!r}"
    return reply


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
