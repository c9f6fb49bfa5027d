"""What a forwarded packet costs: a real MediaServer on loopback under load from another process, option by option.

    python -m tests.media.bench_forward [--seconds 3] [--runs 3]

Prints CPU microseconds of the server's process per packet sent, and the ratio to the plainest configuration in the
same run (medians). Only the handshakes are left out: peers get their SRTP keys and addresses directly. Compare at
equal load, and only within one run: the machine is never the same twice.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import socket
import statistics
import time
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

from pylibsrtp import Policy, Session

from media import MediaConfig, MediaServer
from media.answer import plan
from media.sdp import parse_offer
from media.wire import context_of
from tests.media.client import DELTA, KEYFRAME, OPUS_PT, VP8_PT, offer, rtp, section

KEY = bytes(range(30))
FRAME = 1 / 30
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "plain": {"coalesce_seconds": 0.0, "segmentation": False},
    "coalescing": {"coalesce_seconds": 0.001, "segmentation": False},
    "segmentation": {"coalesce_seconds": 0.0, "segmentation": True},
    "both": {"coalesce_seconds": 0.001, "segmentation": True},
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rooms` rooms of one-to-one calls, or one room with `viewers` and a single publisher.

    A video frame is `burst` packets of 1,000 octets, back to back or, `paced`, spread over the frame's time.
    """

    name: str
    rooms: int
    viewers: int
    burst: int
    paced: bool = False

    def publishers(self) -> int:
        return self.rooms * (1 if self.viewers else 2)

    def peers(self) -> list[tuple[str, bool]]:
        """(room, publishes) of everybody; publishers come first."""
        if self.viewers:
            return [("0", True)] + [("0", False)] * self.viewers
        return [(str(i // 2), True) for i in range(2 * self.rooms)]


SCENARIOS = (
    Scenario("one-to-one, 50 rooms", 50, 0, 3),
    Scenario("webinar, 1 to 100, bursts", 1, 100, 12),
    Scenario("webinar, 1 to 100, paced", 1, 100, 12, paced=True),
)


def policy(direction: int) -> Policy:
    made = Policy(key=KEY, ssrc_type=direction)
    made.allow_repeat_tx = True
    return made


def generate(scenario: Scenario, pipe: Connection) -> None:
    """In a process of its own: the clients' sockets, and packets on schedule until the pipe says stop."""
    sockets = []
    for _ in scenario.peers():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sockets.append(sock)
    pipe.send([sock.getsockname() for sock in sockets])
    port = pipe.recv()
    count = scenario.publishers()
    sessions = [Session(policy(Policy.SSRC_ANY_OUTBOUND)) for _ in range(count)]
    transport = [0] * count
    numbers = [0] * count
    audio = 0
    target = ("127.0.0.1", port)

    def send(who: int, kind: int, sequence: int, stamp: int, payload: bytes, mid: str) -> None:
        transport[who] += 1
        level = 30 if mid == "0" else None
        packet = rtp(
            (1 + (mid == "1")) * 1000 + who, kind, sequence, stamp, payload, mid=mid, level=level,
            transport=transport[who] & 0xFFFF,
        )  # fmt: skip
        sockets[who].sendto(sessions[who].protect(packet), target)

    body = bytes(1000)
    frame = 0
    start = time.monotonic()
    steps = scenario.burst if scenario.paced else 1
    while not pipe.poll():
        for step in range(steps):
            for who in range(count):
                # Frames of the publishers are spread over the frame's time, as independent cameras are.
                due = start + (frame + who / count + step / steps) * FRAME
                wait = due - time.monotonic()
                if wait > 0.0005:
                    time.sleep(wait)
                for place in range(step, step + 1) if scenario.paced else range(scenario.burst):
                    head = (KEYFRAME if frame % 30 == 0 else DELTA) if place == 0 else b"\0\1"
                    numbers[who] += 1
                    send(who, VP8_PT, numbers[who], frame * 3000, head + body[len(head) :], "1")
                if step == 0:
                    for extra in range(2 if frame % 3 else 1):  # 50 a second
                        send(who, OPUS_PT, audio + extra, (audio + extra) * 960, body[:90], "0")
        audio += 2 if frame % 3 else 1
        frame += 1


async def measure(
    scenario: Scenario, options: dict[str, Any], addresses: list[Any], pipe: Connection, seconds: float
) -> float:
    """CPU microseconds per packet sent."""
    known = {f.name for f in fields(MediaConfig)}
    config = MediaConfig(port=0, max_peers_per_room=500, **{k: v for k, v in options.items() if k in known})
    server = await MediaServer.start(config, on_event=lambda _: None)
    sections = [section("0", "audio", "sendonly"), section("1", "video", "sendonly")]
    sections += [section("2", "audio", "recvonly"), section("3", "video", "recvonly")]
    decided = plan(parse_offer(offer(sections), config.max_sdp_bytes, config.max_media_sections), config)
    sessions = []
    for index, ((room, _), address) in enumerate(zip(scenario.peers(), addresses, strict=True)):
        now = time.monotonic()
        peer = server._new_peer(room, f"p{index}", f"p{index}", decided, now)
        incoming, outgoing = (
            Session(policy(Policy.SSRC_ANY_INBOUND)),
            Session(policy(Policy.SSRC_ANY_OUTBOUND)),
        )
        sessions += [incoming, outgoing]
        peer.receive_context, peer.send_context = context_of(incoming), context_of(outgoing)
        peer.move(address, server._socket.sendto)
        peer.open_outlets()
        server._transport.by_address[address] = peer
    server._rounds.wake()
    pipe.send(server.port)
    await asyncio.sleep(1.2)  # everybody has begun, and a keyframe has come
    gc.collect()
    gc.disable()
    sent, spent = server.counters().packets_out, time.process_time()
    await asyncio.sleep(seconds)
    spent, sent = time.process_time() - spent, server.counters().packets_out - sent
    gc.enable()
    drops = server.counters().drops
    pipe.send("stop")
    await server.close()
    lost = {k: v for k, v in drops.items() if k != "rtp_unknown_ssrc"}
    if lost:
        print(f"    drops: {lost}")
    return spent / sent * 1e6


def run(scenario: Scenario, options: dict[str, Any], seconds: float) -> float:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=generate, args=(scenario, there), daemon=True)
    child.start()
    try:
        return asyncio.run(measure(scenario, options, here.recv(), here, seconds))
    finally:
        child.join(5)
        if child.is_alive():
            child.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    for scenario in SCENARIOS:
        print(scenario.name)
        costs: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
        for _ in range(arguments.runs):
            for name, options in CONFIGURATIONS.items():
                costs[name].append(run(scenario, options, arguments.seconds))
        base = statistics.median(costs["plain"])
        for name, values in costs.items():
            median = statistics.median(values)
            print(f"  {name:14} {median:6.2f} us per packet  {median / base:5.2f} of plain")


if __name__ == "__main__":
    main()
