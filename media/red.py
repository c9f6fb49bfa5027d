"""Redundant audio (RFC 2198): Opus packets with their predecessors, for who takes that and for who does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Packet
    from media.tally import Tally

MAX_BLOCKS = 8  # Chromium sends two or three; more is refused


def headers(payload: bytes) -> tuple[int, ...] | None:
    """Where each block's header is (the primary's last, of one octet); None if the payload is not what it says."""
    found: list[int] = []
    at = content = 0
    while at < len(payload) and payload[at] & 0x80:
        if at + 4 > len(payload) or len(found) == MAX_BLOCKS:
            return None
        found.append(at)
        content += (payload[at + 2] & 3) << 8 | payload[at + 3]
        at += 4
    if at + 1 + content > len(payload):
        return None
    return *found, at


def primary(payload: bytes) -> bytes | None:
    """The packet itself, without its predecessors; None if the payload is not what it says."""
    found = headers(payload)
    if found is None:
        return None
    start = found[-1] + 1
    for at in found[:-1]:
        start += (payload[at + 2] & 3) << 8 | payload[at + 3]
    return payload[start:]


def unwrapped(packets: list[Packet], tally: Tally) -> list[Packet]:
    """The packets for who takes only what is within. What makes no sense is counted and becomes empty: such packets
    are left out without a hole."""
    result: list[Packet] = []
    for packet in packets:
        payload = primary(packet[3])
        if payload is None and packet[3]:
            tally.drop("red_malformed")
        result.append((*packet[:3], payload or b"", *packet[4:]))
    return result


class Blocks:
    """A `rewrite.Rewriter`: the payload type within the blocks, for a subscriber who calls Opus by another number."""

    __slots__ = ("_payload_type",)

    def __init__(self, payload_type: int) -> None:
        """The subscriber's payload type of Opus."""
        self._payload_type = payload_type

    def describe(self, packet: Packet) -> tuple[int, ...] | None:
        """Where the payload types are."""
        return headers(packet[3])

    def leaves_out(self, _said: tuple[int, ...], _timestamp: int) -> bool:
        """Nothing."""
        return False

    def marker(self, _said: tuple[int, ...], marker: int) -> int:
        """As it was: the first packet after a silence."""
        return marker

    def patch(self, buffer: bytearray, at: int, said: tuple[int, ...]) -> None:
        """Write the payload type into every header."""
        for place in said:
            buffer[at + place] = buffer[at + place] & 0x80 | self._payload_type
