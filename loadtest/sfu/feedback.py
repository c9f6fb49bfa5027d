"""Transport-wide feedback of a receiving browser (draft-holmer-rmcat-transport-wide-cc-extensions-01).

Written anew instead of taken from `media`, so that the server's reader is not tested against its own writer.
"""

from operator import sub
from struct import Struct

from media.sequence import extend

_HEAD = Struct("!BBHIIHH")
_DELTA_NS = 250_000
_REFERENCE_NS = 64_000_000
_TICKS = _REFERENCE_NS // _DELTA_NS
MAX_STATUSES = 400  # of one packet


class Arrivals:
    """When which transport-wide number came, since the last feedback."""

    def __init__(self) -> None:
        self._pending: dict[int, int] = {}  # extended number -> ns
        self._highest = -1
        self._count = 0

    def note(self, number: int, now: int) -> None:
        """The packet with 16-bit `number` arrived at `now`, nanoseconds."""
        extended = number if self._highest < 0 else extend(number, self._highest)
        if extended > self._highest:
            self._highest = extended
        self._pending[extended] = now

    def take(self, sender: int, ssrc: int) -> list[bytes]:
        """RTCP packets that report everything noted; empty if there is nothing."""
        if not self._pending:
            return []
        plain = self._plain(sender, ssrc)
        if plain is not None:
            self._pending.clear()
            return [plain]
        arrived = sorted(self._pending.items())
        self._pending.clear()
        packets = []
        while arrived:
            packet, used = self._one(sender, ssrc, arrived)
            packets.append(packet)
            arrived = arrived[used:]
        return packets

    def _plain(self, sender: int, ssrc: int) -> bytes | None:
        """All of it as one run of small deltas, if nothing is missing, reordered or far apart: nearly always."""
        numbers, ticks = list(self._pending), [at // _DELTA_NS for at in self._pending.values()]
        reference = ticks[0] // _TICKS
        deltas = [ticks[0] - reference * _TICKS, *map(sub, ticks[1:], ticks)]
        count = len(numbers)
        if count > MAX_STATUSES or numbers != list(range(numbers[0], numbers[0] + count)):
            return None
        if min(deltas) < 0 or max(deltas) > 255:
            return None
        return self._packet(
            sender, ssrc, numbers[0], count, reference, (0x2000 | count).to_bytes(2, "big") + bytes(deltas)
        )

    def _one(self, sender: int, ssrc: int, arrived: list[tuple[int, int]]) -> tuple[bytes, int]:
        base, first = arrived[0]
        reference = first // _REFERENCE_NS
        clock = reference * _TICKS
        symbols: list[int] = []
        deltas = bytearray()
        used = 0
        for number, at in arrived:
            delta = at // _DELTA_NS - clock
            gap = number - base - len(symbols)
            if used and (len(symbols) + gap >= MAX_STATUSES or not -32768 <= delta <= 32767):
                break
            symbols += [0] * gap
            clock += delta
            if 0 <= delta <= 255:
                symbols.append(1)
                deltas.append(delta)
            else:
                symbols.append(2)
                deltas += delta.to_bytes(2, "big", signed=True)
            used += 1
        return self._packet(
            sender, ssrc, base, len(symbols), reference, bytes(_chunks(symbols) + deltas)
        ), used

    def _packet(self, sender: int, ssrc: int, base: int, count: int, reference: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        head = _HEAD.pack(0x8F, 205, 4 + len(body) // 4, sender, ssrc, base & 0xFFFF, count)
        tail = (reference & 0xFFFFFF).to_bytes(3, "big") + bytes((self._count & 0xFF,))
        self._count += 1
        return head + tail + body


def _chunks(symbols: list[int]) -> bytearray:
    """A run if all are alike, else seven two-bit symbols in each chunk."""
    out = bytearray()
    if symbols.count(symbols[0]) == len(symbols):
        return bytearray((symbols[0] << 13 | len(symbols)).to_bytes(2, "big"))
    for at in range(0, len(symbols), 7):
        chunk = 0xC000
        for place, symbol in enumerate(symbols[at : at + 7]):
            chunk |= symbol << 12 - 2 * place
        out += chunk.to_bytes(2, "big")
    return out
