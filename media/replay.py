"""The latest keyframe of a stream and what came since: what a new subscriber is shown before the next live keyframe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Packet, Stream

MAX_KEYFRAME_PACKETS = 256  # about 300 KB; no camera makes larger ones, and an attacker may not
MAX_SINCE_PACKETS = 128  # deltas replayed at once: a burst a browser's socket buffer takes
MAX_SINCE_SECONDS = 1.0  # more would have to be decoded before anything new is seen


class Opening:
    """The packets of one keyframe as they come in, in any order."""

    __slots__ = ("_packets", "arrived", "timestamp")

    def __init__(self, timestamp: int, arrived: float) -> None:
        self.timestamp = timestamp
        self.arrived = arrived  # monotonic seconds
        self._packets: dict[int, Packet] = {}

    def add(self, packet: Packet) -> None:
        """Another packet of the keyframe."""
        if len(self._packets) <= MAX_KEYFRAME_PACKETS:
            self._packets[packet[0]] = packet

    def packets(self) -> list[Packet]:
        """The whole keyframe in order, or nothing if not all of it is there (the marker ends a frame)."""
        ordered = [self._packets[number] for number in sorted(self._packets)]
        if not ordered or len(ordered) > MAX_KEYFRAME_PACKETS or not ordered[-1][2]:
            return []
        return ordered if ordered[-1][0] - ordered[0][0] == len(ordered) - 1 else []


def since(stream: Stream, number: int, now: float) -> list[Packet] | None:
    """What came from `number` on until now, from the ring; None if that is too much, or something is missing."""
    ring, opening = stream.ring, stream.opening
    if ring is None or opening is None or now - opening.arrived > MAX_SINCE_SECONDS:
        return None
    if stream.highest - number >= MAX_SINCE_PACKETS or stream.queue:
        return None
    packets: list[Packet] = []
    for wanted in range(number, stream.highest + 1):
        packet = ring.get(wanted)
        if packet is None:
            return None
        packets.append(packet)
    return packets
