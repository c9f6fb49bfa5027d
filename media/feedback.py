"""Transport-wide congestion control feedback to publishers (draft-holmer-rmcat-transport-wide-cc-extensions-01)."""

from __future__ import annotations

from operator import sub
from struct import Struct

from media.rtcp import RTPFB, TRANSPORT_CC
from media.sequence import extend

_HEAD = Struct("!BBHIIHH")
_TICK = 0.00025  # a receive delta counts 250 us
_REFERENCE = 0.064  # the reference time counts 64 ms
_TICKS_PER_REFERENCE = 256
_CHUNK = Struct("!H")
MAX_STATUSES = 1000  # per packet: about 300 bytes of deltas at the densest, well under an MTU with the chunks


class ArrivalLog:
    """Arrival times of one publisher's packets since the last feedback. Times are monotonic seconds."""

    __slots__ = ("_count", "_highest", "pending")

    def __init__(self) -> None:
        self.pending: dict[int, float] = {}  # 16-bit transport number -> arrival; written by the hot path
        self._highest = -1
        self._count = 0

    def take(self, sender: int, ssrc: int) -> list[bytes]:
        """The feedback packets for everything pending, and forget it. Empty if there is nothing."""
        if not self.pending:
            return []
        numbers = list(self.pending)
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) <= MAX_STATUSES:
            packet = self._run(sender, ssrc, numbers[0], list(self.pending.values()))
            if packet is not None:
                self.pending.clear()
                last = numbers[-1]
                self._highest = max(self._highest, last if self._highest < 0 else extend(last, self._highest))
                return [packet]
        arrivals: list[tuple[int, float]] = []
        highest = self._highest
        for number, at in self.pending.items():
            extended = number if highest < 0 else extend(number, highest)
            highest = max(highest, extended)
            arrivals.append((extended, at))
        self.pending.clear()
        self._highest = highest
        arrivals.sort()
        packets = []
        first = 0
        while first < len(arrivals):
            packet, first = self._one(sender, ssrc, arrivals, first)
            packets.append(packet)
        return packets

    def _run(self, sender: int, ssrc: int, first: int, times: list[float]) -> bytes | None:
        """The usual case, nothing lost and nothing reordered, at a fifth of the price: one run of small deltas.
        None if a pause was too long for those."""
        ticks = [int(at / _TICK) for at in times]
        reference = ticks[0] // _TICKS_PER_REFERENCE
        deltas = [ticks[0] - reference * _TICKS_PER_REFERENCE, *map(sub, ticks[1:], ticks)]
        if min(deltas) < 0 or max(deltas) > 255:
            return None
        body = _CHUNK.pack(0x2000 | len(deltas)) + bytes(deltas)
        body += bytes(-len(body) % 4)
        return self._packet(sender, ssrc, first, len(deltas), reference, body)

    def _one(
        self, sender: int, ssrc: int, arrivals: list[tuple[int, float]], first: int
    ) -> tuple[bytes, int]:
        base = arrivals[first][0]
        reference = int(arrivals[first][1] / _REFERENCE)
        clock = round(reference * _REFERENCE / _TICK)
        symbols = bytearray()
        deltas = bytearray()
        at = first
        while at < len(arrivals):
            number, arrival = arrivals[at]
            gap = number - base - len(symbols)
            delta = round(arrival / _TICK) - clock
            if (len(symbols) + gap + 1 > MAX_STATUSES and at > first) or not -32768 <= delta <= 32767:
                break  # the rest goes into a packet with its own base and reference time
            symbols += bytes(gap)
            clock += delta
            if 0 <= delta <= 255:
                symbols.append(1)
                deltas.append(delta)
            else:
                symbols.append(2)
                deltas += delta.to_bytes(2, "big", signed=True)
            at += 1
        body = _chunks(symbols) + bytes(deltas)
        body += bytes(-len(body) % 4)
        return self._packet(sender, ssrc, base, len(symbols), reference, body), at

    def _packet(self, sender: int, ssrc: int, base: int, count: int, reference: int, body: bytes) -> bytes:
        head = _HEAD.pack(0x80 | TRANSPORT_CC, RTPFB, 4 + len(body) // 4, sender, ssrc, base & 0xFFFF, count)
        tail = (reference & 0xFFFFFF).to_bytes(3, "big") + bytes((self._count & 0xFF,))
        self._count += 1
        return head + tail + body


def _chunks(symbols: bytearray) -> bytes:
    """Status chunks: a run where seven or more are alike, else fourteen one-bit or seven two-bit symbols."""
    out = bytearray()
    at = 0
    while at < len(symbols):
        rest = symbols[at : at + 8191]
        run = len(rest) - len(rest.lstrip(rest[:1]))
        if run >= 7 or at + run == len(symbols):
            chunk = symbols[at] << 13 | run
            at += run
        elif 2 not in symbols[at : at + 14]:
            chunk = 0x8000
            for place, symbol in enumerate(symbols[at : at + 14]):
                chunk |= symbol << 13 - place
            at += 14
        else:
            chunk = 0xC000
            for place, symbol in enumerate(symbols[at : at + 7]):
                chunk |= symbol << 12 - 2 * place
            at += 7
        out += chunk.to_bytes(2, "big")
    return bytes(out)
