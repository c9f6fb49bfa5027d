"""Bits read one field after the other, as codec headers are written."""

from __future__ import annotations


class Truncated(ValueError):
    """The header says that there is more than there is, or more than anybody may say."""


class Bits:
    """Reads from the first bit on. Every method raises Truncated at the end of the data."""

    __slots__ = ("_left", "_value")

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    @property
    def left(self) -> int:
        """Bits not yet read."""
        return self._left

    def take(self, count: int) -> int:
        """The next `count` bits as a number, the first one the most significant."""
        self._left -= count
        if self._left < 0:
            raise Truncated
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned Exp-Golomb number: ue(v) of H.264 (9.1), uvlc() of AV1 (4.10.3). At most 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise Truncated
        return (1 << zeros) - 1 + self.take(zeros)

    def skewed(self, values: int) -> int:
        """A number below `values` in the non-symmetric form ns(n) of AV1 and of the dependency descriptor."""
        width = values.bit_length()
        short = (1 << width) - values
        found = self.take(width - 1)
        return found if found < short else (found << 1) + self.take(1) - short
