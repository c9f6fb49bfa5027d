"""Sequence numbers: arithmetic modulo 2^16 and the map from a publisher's numbers to a subscriber's."""

from __future__ import annotations

HALF = 1 << 15
MASK = (1 << 16) - 1


def extend(sequence: int, highest: int) -> int:
    """The extended number nearest to `highest` (never wrapping, may be below it) whose low 16 bits are `sequence`."""
    return highest + ((sequence - highest + HALF) & MASK) - HALF


def newer(a: int, b: int) -> bool:
    """Whether 16-bit `a` comes after 16-bit `b` (RFC 1982 with 16 bits)."""
    return a != b and (a - b) & MASK < HALF


class SequenceMap:
    """From extended source numbers to extended output numbers, and back for retransmissions.

    The offset is constant between rebases and swallowed packets, so a short list of segments says everything and
    a forwarded packet costs one addition: `out = source + map.offset` while `source >= map.floor`. Numbers below
    the floor belong to earlier segments and take the slow way through `lookup`.
    """

    __slots__ = ("_segments", "floor", "highest", "offset")

    # Chromium pads on the RTX stream when it has one, so swallowed packets are rare; 32 segments outlive the ring.
    MAX_SEGMENTS = 32

    def __init__(self, first: int) -> None:
        """`first` is the output number of the first packet; keep it in the lower half (libsrtp, RFC 3711 3.3.1)."""
        self.offset = 0
        self.floor = 0
        self.highest = first - 1  # highest extended output number handed out
        self._segments: list[tuple[int, int]] = []  # (first source number, offset), oldest first

    def copy(self) -> SequenceMap:
        """The map as it is now."""
        other = SequenceMap(self.highest + 1)
        other.offset, other.floor = self.offset, self.floor
        other._segments = self._segments.copy()
        return other

    def rebase(self, source: int) -> None:
        """A new source (or a new start of the same one) begins at `source`: it continues at highest + 1."""
        self._segments.clear()
        self._begin(source, self.highest + 1 - source)

    def swallow(self, source: int) -> bool:
        """Leave out `source`, so that the output has no hole. False if it came too late: later ones are out already."""
        if source < self.floor or source + self.offset <= self.highest:
            return False
        if self._segments and self._segments[-1][0] == source:
            self._segments.pop()  # it had nothing in it: a run of swallowed numbers costs one segment
        self._begin(source + 1, self.offset - 1)
        return True

    def lookup(self, source: int) -> int | None:
        """The output number of `source`, or None if it belongs to nothing that was forwarded."""
        above: int | None = None  # what the segment after this one begins with, as sent
        for first, offset in reversed(self._segments):
            if source >= first:
                # The last numbers before the next segment were swallowed: they have no output number.
                return None if above is not None and source + offset >= above else source + offset
            above = first + offset
        return None

    def source_of(self, out: int) -> int | None:
        """The source number that went out as the 16-bit number `out`, or None if it is unknown or not yet sent."""
        wanted = extend(out, self.highest)
        if wanted > self.highest:
            return None
        for first, offset in reversed(self._segments):
            if wanted >= first + offset:
                return wanted - offset
        return None

    def _begin(self, first: int, offset: int) -> None:
        if self._segments and self._segments[-1][0] == first:
            self._segments[-1] = (first, offset)
        else:
            self._segments.append((first, offset))
            if len(self._segments) > self.MAX_SEGMENTS:
                del self._segments[0]
        self.floor = first
        self.offset = offset
