"""VP8's payload (RFC 7741): keyframes, and picture numbers without a hole whatever is switched or left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from media.sequence import SequenceMap

if TYPE_CHECKING:
    from media.stream import Packet


class Description(NamedTuple):
    """Where the descriptor's numbers are, from the payload's start (-1: absent), and what they say."""

    picture_at: int
    picture: int
    wide: bool  # 15 bits, else 7
    tl0_at: int
    tl0: int
    temporal: int  # TID, 0 if absent
    sync: bool  # Y: depends on nothing but the base layer


def describe(payload: bytes) -> Description | None:
    """Read a payload descriptor; None if the packet is too short to hold it."""
    size = len(payload)
    if not size:
        return None
    picture_at = tl0_at = -1
    picture = tl0 = temporal = 0
    wide = sync = False
    if payload[0] & 0x80:
        if size < 2:
            return None
        extended = payload[1]
        at = 2
        if extended & 0x80:
            if at >= size:
                return None
            picture_at, picture, wide = at, payload[at] & 0x7F, payload[at] > 127
            at += 1
            if wide:
                if at >= size:
                    return None
                picture = picture << 8 | payload[at]
                at += 1
        if extended & 0x40:
            if at >= size:
                return None
            tl0_at, tl0 = at, payload[at]
            at += 1
        if extended & 0x30:
            if at >= size:
                return None
            if extended & 0x20:
                temporal, sync = payload[at] >> 6, bool(payload[at] & 0x20)
    return Description(picture_at, picture, wide, tl0_at, tl0, temporal, sync)


def keyframe(data: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    """True on the first packet of a keyframe (RFC 7741 section 4.2 and 4.3)."""
    if end - start < 1 or data[start] & 0x17 != 0x10:  # S set and partition index 0
        return False
    at = start + 1
    if data[start] & 0x80:
        if at >= end:
            return False
        extended = data[at]
        at += 1
        if extended & 0x80:  # picture id, one or two octets
            if at >= end:
                return False
            at += 2 if data[at] & 0x80 else 1
        if extended & 0x40:  # TL0PICIDX
            at += 1
        if extended & 0x30:  # TID, KEYIDX
            at += 1
    return at < end and data[at] & 1 == 0


def height(payload: bytes) -> int:
    """The height in pixels from the first packet of a keyframe; 0 if it is not there."""
    start = _header_at(payload)
    if len(payload) < start + 10 or payload[start + 3 : start + 6] != b"\x9d\x01\x2a":
        return 0
    return (payload[start + 8] | payload[start + 9] << 8) & 0x3FFF


def _header_at(payload: bytes) -> int:
    """Where the VP8 payload header begins behind the descriptor."""
    if not payload or not payload[0] & 0x80 or len(payload) < 2:
        return 1
    extended, at = payload[1], 2
    if extended & 0x80 and at < len(payload):
        at += 2 if payload[at] & 0x80 else 1
    return at + bool(extended & 0x40) + bool(extended & 0x30)


class Pictures:
    """One subscriber's picture numbers: continuous, whatever layer they come from and whatever is left out.

    A `rewrite.Rewriter`.
    """

    __slots__ = ("_dropping", "_last", "_numbers", "_tl0", "_tl0_offset", "limit", "wanted")

    def __init__(self, picture: int, tl0: int) -> None:
        """The numbers last sent."""
        self._numbers = SequenceMap(picture + 1)
        self._last = -1  # highest extended picture number of the source; -1: begins with the next packet
        self._tl0 = tl0
        self._tl0_offset = 0
        self._dropping = -1  # timestamp of a frame that is left out
        self.limit = 3  # highest temporal layer that is sent
        self.wanted = 3  # the same, from the next frame on that allows it

    def adopt(self, last: Description) -> None:
        """Go on with the source that was sent unchanged until now; `last` is its latest packet."""
        self._last = last.picture + 0x8000
        self._numbers.rebase(self._last + 1)

    def switch(self, first: Description) -> None:
        """Another source begins, with a keyframe."""
        self._last = first.picture + 0x8000
        self._numbers.rebase(self._last)
        self._tl0_offset = self._tl0 + 1 - first.tl0
        self.limit = self.wanted

    def describe(self, packet: Packet) -> Description | None:
        """What the payload descriptor says."""
        return describe(packet[3])

    def leaves_out(self, said: Description, timestamp: int) -> bool:
        """Whether this packet belongs to a temporal layer that is not sent; changes only between frames."""
        if timestamp == self._dropping:
            return True
        if said.temporal == 0:
            self.limit = min(self.limit, self.wanted)
            return False
        if said.picture_at >= 0 and self._extended(said) <= self._last:
            # A frame under way, or a late packet: as its frame was treated.
            late = self._extended(said)
            return late < self._numbers.floor and self._numbers.lookup(late) is None
        if self.wanted < self.limit:
            self.limit = self.wanted
        elif said.temporal == self.limit + 1 <= self.wanted and said.sync:
            self.limit = said.temporal
        if said.temporal <= self.limit:
            return False
        self._dropping = timestamp
        if said.picture_at >= 0:
            self._last = self._extended(said)
            self._numbers.swallow(self._last)
        return True

    def marker(self, _said: Description, marker: int) -> int:
        """VP8 has no spatial layers: what ends a frame for one ends it for all."""
        return marker

    def patch(self, buffer: bytearray, start: int, said: Description) -> None:
        """Write the subscriber's numbers into a payload that begins at `start`."""
        if said.picture_at >= 0:
            source = self._extended(said)
            self._last = max(self._last, source)
            numbers = self._numbers
            if source >= numbers.floor:
                out = source + numbers.offset
                numbers.highest = max(numbers.highest, out)
            else:
                found = numbers.lookup(source)  # None: from before the numbers began to differ
                out = source if found is None else found
            at = start + said.picture_at
            if said.wide:
                buffer[at] = 0x80 | out >> 8 & 0x7F
                buffer[at + 1] = out & 0xFF
            else:
                buffer[at] = out & 0x7F
        if said.tl0_at >= 0:
            tl0 = said.tl0 + self._tl0_offset & 0xFF
            buffer[start + said.tl0_at] = tl0
            if (tl0 - self._tl0 & 0xFF) < 128:
                self._tl0 = tl0

    def _extended(self, said: Description) -> int:
        half = 0x4000 if said.wide else 0x40
        return self._last + ((said.picture - self._last + half) & (2 * half - 1)) - half
