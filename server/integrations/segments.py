"""How many segments an SMS has: 3GPP TS 23.038's alphabet, or UTF-16 as soon as one character is not in it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("\f^{}\\[~]|€")  # an escape and a character: two septets


@dataclass(frozen=True, slots=True)
class Segments:
    """``units`` are septets (GSM-7) or 16-bit units (UCS-2)."""

    encoding: str
    units: int
    count: int


def segments(text: str) -> Segments:
    """160 septets or 70 units fit one segment; of several, each gives 7 or 3 to the header that joins them."""
    if all(c in _BASIC or c in _EXTENDED for c in text):
        sizes = [2 if c in _EXTENDED else 1 for c in text]
        return Segments("GSM-7", sum(sizes), _count(sizes, 160, 153))
    sizes = [2 if ord(c) > 0xFFFF else 1 for c in text]
    return Segments("UCS-2", sum(sizes), _count(sizes, 70, 67))


def _count(sizes: list[int], alone: int, joined: int) -> int:
    if sum(sizes) <= alone:
        return 1
    count, room = 1, joined
    for size in sizes:  # a character is never cut in two
        if size > room:
            count, room = count + 1, joined
        room -= size
    return count
