"""The last packets of one incoming stream, kept for retransmission and to recognise duplicates."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Packet

FIRST_SIZE = 128  # places at first: half a second at 2 Mb/s


class PacketRing:
    """Packets by extended sequence number, bounded by count, by age and by octets; the queue, the cached keyframe and
    the ring share each packet, so that its payload is in memory once.

    Numbers are remembered for longer than packets: a duplicate of one that was let go is still recognised. Grows, up
    to `size` places, when a packet would be displaced before its time.
    """

    __slots__ = ("_mask", "_numbers", "_octets", "_packets", "_size", "_tail", "max_octets", "seconds")

    def __init__(self, size: int, seconds: float = 0.6, max_octets: int = 400_000) -> None:
        """`size` is the number of packets at most, a power of two; `trim` lets go what the others say."""
        if size < 1 or size & (size - 1):
            raise ValueError("ring size must be a power of two")
        self._size = size
        self.seconds = seconds
        self.max_octets = max_octets
        places = min(size, FIRST_SIZE)
        self._mask = places - 1
        self._numbers = array("q", [-1]) * places
        self._packets: list[Packet | None] = [None] * places
        self._octets = 0
        self._tail = -1  # no packet with a lower number is kept, but those that came late

    def store(self, packet: Packet) -> bool:
        """Keep `packet`; False if it is a duplicate or older than what its place holds."""
        number = packet[0]
        at = number & self._mask
        if number <= self._numbers[at]:
            return False
        before = self._packets[at]
        if before is not None:
            if self._mask + 1 < self._size and packet[5] - before[5] < self.seconds:
                self._grow()
                return self.store(packet)
            self._octets -= len(before[3])
        self._numbers[at] = number
        self._packets[at] = packet
        self._octets += len(packet[3])
        return True

    def _grow(self) -> None:
        numbers, packets = self._numbers, self._packets
        places = 2 * len(packets)
        mask = self._mask = places - 1
        self._numbers = array("q", [-1]) * places
        self._packets = [None] * places
        for number, packet in zip(numbers, packets, strict=True):
            self._numbers[number & mask] = number
            self._packets[number & mask] = packet

    def trim(self, number: int, now: float) -> None:
        """Let go what is too old or too much; `number` has just come, or is about to. Called once a frame."""
        oldest = now - self.seconds
        packets, mask = self._packets, self._mask
        at = self._tail
        if number - at > mask or at < 0:
            at = number - mask
        while at < number:
            packet = packets[at & mask]
            if packet is not None:
                if packet[5] >= oldest and self._octets <= self.max_octets:
                    break
                packets[at & mask] = None
                self._octets -= len(packet[3])
            at += 1
        self._tail = at

    def get(self, number: int) -> Packet | None:
        """The packet with this extended number, or None if it never came or was let go."""
        packet = self._packets[number & self._mask]
        return packet if packet is not None and packet[0] == number else None

    def has(self, number: int) -> bool:
        """Whether this very packet has come."""
        return self._numbers[number & self._mask] == number
