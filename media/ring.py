"""The last packets of one incoming stream, kept for retransmission and to recognise duplicates."""

from __future__ import annotations


class PacketRing:
    """A fixed number of whole RTP packets by extended sequence number; a newer one overwrites what it displaces."""

    __slots__ = ("_mask", "_numbers", "_packets")

    def __init__(self, size: int) -> None:
        """`size` is the number of packets, a power of two."""
        if size < 1 or size & (size - 1):
            raise ValueError("ring size must be a power of two")
        self._mask = size - 1
        self._numbers = [-1] * size
        self._packets: list[bytes | None] = [None] * size

    def store(self, number: int, packet: bytes) -> bool:
        """Keep `packet`; False if it is a duplicate or older than what its place holds."""
        at = number & self._mask
        if number <= self._numbers[at]:
            return False
        self._numbers[at] = number
        self._packets[at] = packet
        return True

    def get(self, number: int) -> bytes | None:
        """The packet with this extended number, or None if it never came or was overwritten."""
        at = number & self._mask
        return self._packets[at] if self._numbers[at] == number else None

    def has(self, number: int) -> bool:
        """Whether this very packet is here."""
        return self._numbers[number & self._mask] == number
