"""The last packets of one incoming stream, kept for retransmission and to recognise duplicates."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Packet


class PacketRing:
    """Packets by extended sequence number, bounded by count, by age and by octets; the queue, the cached keyframe and
    the ring share each packet, so that its payload is in memory once.

    Numbers are remembered for longer than packets: a duplicate of one that was let go is still recognised.
    """

    __slots__ = ("_mask", "_max_octets", "_numbers", "_octets", "_packets", "_seconds", "_tail")

    def __init__(self, size: int, seconds: float = 0.6, max_octets: int = 400_000) -> None:
        """`size` is the number of packets, a power of two; `trim` lets go what is older or more than the others say."""
        if size < 1 or size & (size - 1):
            raise ValueError("ring size must be a power of two")
        self._mask = size - 1
        self._seconds = seconds
        self._max_octets = max_octets
        self._numbers = array("q", [-1]) * size
        self._packets: list[Packet | None] = [None] * size
        self._octets = 0
        self._tail = -1  # no packet with a lower number is kept, but those that came late

    def store(self, packet: Packet) -> bool:
        """Keep `packet`; False if it is a duplicate or older than what its place holds."""
        number = packet[0]
        at = number & self._mask
        if number <= self._numbers[at]:
            return False
        self._numbers[at] = number
        before = self._packets[at]
        self._packets[at] = packet
        self._octets += len(packet[3]) - (len(before[3]) if before is not None else 0)
        return True

    def trim(self, number: int, now: float) -> None:
        """Let go what is too old or too much; `number` is about to be stored. Called once a frame."""
        oldest = now - self._seconds
        packets, mask = self._packets, self._mask
        at = self._tail
        if number - at > mask or at < 0:
            at = number - mask
        while at < number:
            packet = packets[at & mask]
            if packet is not None:
                if packet[5] >= oldest and self._octets <= self._max_octets:
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
