"""What a participant costs in memory: a real MediaServer with real handshakes, one-to-one rooms, 1.2 Mb/s VP8 and Opus.

    python -m tests.media.bench_memory [--people 40] [--seconds 8] [--trace]

Prints the growth of the server's resident set per participant, and with --trace where Python allocated it (which
slows everything down, and does not see OpenSSL and libsrtp). The clients live in a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import time
import tracemalloc
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from media import MediaConfig, MediaServer
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, Client, rtp, section

FRAME = 1 / 30
PACKETS, SIZE = 5, 1000  # of a frame: 1.2 Mb/s


def resident() -> int:
    """Octets of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Remote:
    """The server as the clients' process sees it: offers go through a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.port: int = pipe.recv()

    async def join(self, **arguments: str) -> str:
        self._pipe.send(arguments)
        return cast(str, await asyncio.to_thread(self._pipe.recv))


class Deaf(Client):
    """Reads what a handshake needs and throws media away."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[0] < 64 or self.dtls.state != "connected":
            super().datagram_received(data, addr)


async def play(pipe: Connection, people: int, seconds: float) -> None:
    """In the clients' process: join one after the other, then send until the time is over."""
    remote = Remote(pipe)
    clients = []
    for number in range(people):
        sections = [section("0", "audio", "sendonly"), section("1", "video", "sendonly")]
        sections += [section("2", "audio", "recvonly"), section("3", "video", "recvonly")]
        client = Deaf(cast(MediaServer, remote), f"room{number // 2}", f"p{number}", f"p{number}", sections)
        await client.connect()
        clients.append(client)
    pipe.send(None)
    body = bytes(SIZE)
    start, frame = time.monotonic(), 0
    while frame * FRAME < seconds:
        for client in clients:
            for part in range(PACKETS):
                head = (KEYFRAME if frame % 90 == 0 else DELTA) if part == 0 else b"\0\1"
                client.send(
                    rtp(
                        2000 + int(client.peer[1:]), VP8_PT, frame * PACKETS + part, frame * 3000,
                        head + body[len(head) :], mid="1", marker=part == PACKETS - 1,
                        transport=frame * (PACKETS + 1) + part & 0xFFFF,
                    )
                )  # fmt: skip
            client.send(
                rtp(
                    1000 + int(client.peer[1:]), OPUS_PT, frame, frame * 1600, body[:100], mid="0", level=30,
                    transport=frame * (PACKETS + 1) + PACKETS & 0xFFFF,
                )
            )  # fmt: skip
        frame += 1
        await asyncio.sleep(max(0.0, start + frame * FRAME - time.monotonic()))
    pipe.send(None)
    pipe.recv()


def clients(pipe: Connection, people: int, seconds: float) -> None:
    asyncio.run(play(pipe, people, seconds))


async def measure(pipe: Connection, people: int, trace: bool) -> None:
    server = await MediaServer.start(MediaConfig(port=0), on_event=lambda _: None)
    gc.collect()
    pipe.send(server.port)
    if trace:
        tracemalloc.start(8)
    before = resident()
    while (arguments := await asyncio.to_thread(pipe.recv)) is not None:
        pipe.send(await server.join(**arguments))
    gc.collect()
    joined = resident()
    await asyncio.to_thread(pipe.recv)
    gc.collect()
    loaded = resident()
    for name, value in (("joined", joined), ("under load", loaded)):
        print(f"{name:12} {(value - before) / people / 1000:7.1f} KB per participant")
    print(f"drops: {server.counters().drops}")
    if trace:
        snapshot = tracemalloc.take_snapshot()
        total = sum(s.size for s in snapshot.statistics("filename"))
        print(f"traced       {total / people / 1000:7.1f} KB per participant")
        for line in snapshot.statistics("lineno")[:30]:
            frame = line.traceback[0]
            print(f"{line.size / people:9.0f} B {line.count / people:7.1f}  {frame.filename}:{frame.lineno}")
    pipe.send(None)
    await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=clients, args=(there, arguments.people, arguments.seconds), daemon=True)
    child.start()
    try:
        asyncio.run(measure(here, arguments.people, arguments.trace))
    finally:
        child.join(5)
        if child.is_alive():
            child.terminate()


if __name__ == "__main__":
    main()
