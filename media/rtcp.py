"""RTCP as values and bytes: compound packets parsed strictly, reports and feedback written (RFC 3550, 4585, 5104)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from struct import Struct

from media.rtp import Buffer, ParseError

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
NACK, TRANSPORT_CC = 1, 15  # formats of RTPFB
PLI, FIR, AFB = 1, 4, 15  # formats of PSFB
# Packets that one datagram may speak of in all its NACKs and transport feedback: run lengths make many very cheap to
# claim, and each costs a look. A browser at 20 Mb/s reports 200 at a time.
MAX_ITEMS = 2048

_HEAD = Struct("!BBH")
_SENDER = Struct("!IQIII")
_BLOCK = Struct("!IIIIII")
_PAIR = Struct("!HH")
_WORD = Struct("!I")
_FEEDBACK = Struct("!BBHII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """One report about `ssrc`; jitter in timestamp units, `last_report`/`delay` in 1/65536 s (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    delay: int


@dataclass(frozen=True, slots=True)
class SenderReport:
    """`ntp` is the 64-bit NTP timestamp that belongs to RTP timestamp `timestamp`."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """Report blocks from someone who does not send."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Nack:
    """The listed 16-bit sequence numbers of `ssrc` are missing."""

    ssrc: int
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class KeyframeRequest:
    """PLI or FIR for `ssrc`."""

    ssrc: int


@dataclass(frozen=True, slots=True)
class Bye:
    """These SSRCs stop."""

    ssrcs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """From 16-bit number `base` on, when each packet arrived, in 250 us after `reference` (which counts 64 ms); None:
    not received (draft-holmer-rmcat-transport-wide-cc-extensions-01)."""

    base: int
    reference: int
    arrivals: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Remb:
    """The receiver estimates that it can take so many bits per second (draft-alvestrand-rmcat-remb-03)."""

    rate: float


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-formed packet we do not act on: SDES, XR, APP."""

    packet_type: int
    count: int


RtcpPacket = SenderReport | ReceiverReport | Nack | KeyframeRequest | Bye | TransportFeedback | Remb | Ignored


def parse(data: Buffer, length: int) -> list[RtcpPacket]:
    """All packets of a compound (or reduced-size, RFC 5506) packet. Raises ParseError("rtcp_malformed")."""
    packets: list[RtcpPacket] = []
    at = items = 0
    if length < 8:
        raise ParseError("rtcp_malformed")
    while at < length:
        if at + 4 > length:
            raise ParseError("rtcp_malformed")
        first, packet_type, words = _HEAD.unpack_from(data, at)
        end = at + 4 + words * 4
        if first >> 6 != 2 or end > length:
            raise ParseError("rtcp_malformed")
        body_end = end
        if first & 0x20:
            padding = data[end - 1]
            body_end -= padding
            if end != length or padding == 0 or body_end < at + 4:
                raise ParseError("rtcp_malformed")
        _parse_one(data, at + 4, body_end, packet_type, first & 0x1F, packets)
        match packets[-1]:
            case Nack(missing=missing):
                items += len(missing)
            case TransportFeedback(arrivals=arrivals):
                items += len(arrivals)
            case _:
                pass
        if items > MAX_ITEMS:
            raise ParseError("rtcp_malformed")
        at = end
    return packets


def _parse_one(
    data: Buffer, at: int, end: int, packet_type: int, count: int, packets: list[RtcpPacket]
) -> None:
    size = end - at
    if packet_type == SR:
        if size < 24 + 24 * count:
            raise ParseError("rtcp_malformed")
        ssrc, ntp, timestamp, sent, octets = _SENDER.unpack_from(data, at)
        packets.append(SenderReport(ssrc, ntp, timestamp, sent, octets, _blocks(data, at + 24, count)))
    elif packet_type == RR:
        if size < 4 + 24 * count:
            raise ParseError("rtcp_malformed")
        packets.append(ReceiverReport(_WORD.unpack_from(data, at)[0], _blocks(data, at + 4, count)))
    elif packet_type == BYE:
        if size < 4 * count:
            raise ParseError("rtcp_malformed")
        packets.append(Bye(tuple(_WORD.unpack_from(data, at + 4 * i)[0] for i in range(count))))
    elif packet_type == RTPFB and count == NACK:
        if size < 12 or size % 4:
            raise ParseError("rtcp_malformed")
        missing: list[int] = []
        for place in range(at + 8, end, 4):
            number, following = _PAIR.unpack_from(data, place)
            missing.append(number)
            missing.extend(number + 1 + bit & 0xFFFF for bit in range(16) if following >> bit & 1)
        packets.append(Nack(_WORD.unpack_from(data, at + 4)[0], tuple(missing)))
    elif packet_type == PSFB and count == PLI:
        if size < 8:
            raise ParseError("rtcp_malformed")
        packets.append(KeyframeRequest(_WORD.unpack_from(data, at + 4)[0]))
    elif packet_type == PSFB and count == FIR:
        if size < 16 or size % 8:
            raise ParseError("rtcp_malformed")
        for place in range(at + 8, end, 8):
            packets.append(KeyframeRequest(_WORD.unpack_from(data, place)[0]))
    elif packet_type == RTPFB and count == TRANSPORT_CC:
        packets.append(_transport_feedback(data, at, end))
    elif packet_type == PSFB and count == AFB and size >= 16 and bytes(data[at + 8 : at + 12]) == b"REMB":
        mantissa = (data[at + 13] & 3) << 16 | data[at + 14] << 8 | data[at + 15]
        packets.append(Remb(float(mantissa << (data[at + 13] >> 2))))
    else:
        packets.append(Ignored(packet_type, count))


def _transport_feedback(data: Buffer, at: int, end: int) -> TransportFeedback:
    if end - at < 16:
        raise ParseError("rtcp_malformed")
    base, count = _PAIR.unpack_from(data, at + 8)
    reference = data[at + 12] << 16 | data[at + 13] << 8 | data[at + 14]
    at += 16
    if count > MAX_ITEMS:
        raise ParseError("rtcp_malformed")
    symbols: list[int] = []
    while len(symbols) < count:
        if at + 2 > end:
            raise ParseError("rtcp_malformed")
        chunk = data[at] << 8 | data[at + 1]
        at += 2
        if not chunk & 0x8000:
            symbols += [chunk >> 13] * (chunk & 0x1FFF)
        elif not chunk & 0x4000:
            symbols += [chunk >> bit & 1 for bit in range(13, -1, -1)]
        else:
            symbols += [chunk >> bit & 3 for bit in range(12, -1, -2)]
    del symbols[count:]
    clock = 0
    if (
        len(data) >= end >= at + count and symbols.count(1) == count
    ):  # nothing lost, no long pause: the usual case
        return TransportFeedback(base, reference, tuple(accumulate(data[at : at + count])))
    arrivals: list[int | None] = []
    for symbol in symbols:
        if symbol == 1:
            if at >= end:
                raise ParseError("rtcp_malformed")
            clock += data[at]
            at += 1
        elif symbol == 2:
            if at + 2 > end:
                raise ParseError("rtcp_malformed")
            delta = data[at] << 8 | data[at + 1]
            clock += delta - ((delta & 0x8000) << 1)
            at += 2
        arrivals.append(clock if symbol in (1, 2) else None)
    return TransportFeedback(base, reference, tuple(arrivals))


def _blocks(data: Buffer, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for i in range(count):
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(data, at + 24 * i)
        lost = loss & 0xFFFFFF
        if lost & 0x800000:
            lost -= 1 << 24
        blocks.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last, delay))
    return tuple(blocks)


def _write_blocks(blocks: Iterable[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            b.ssrc,
            (b.fraction_lost & 0xFF) << 24 | max(-(1 << 23), min(b.lost, (1 << 23) - 1)) & 0xFFFFFF,
            b.highest & 0xFFFFFFFF,
            b.jitter & 0xFFFFFFFF,
            b.last_report,
            b.delay & 0xFFFFFFFF,
        )
        for b in blocks
    )


def write_sender_report(report: SenderReport) -> bytes:
    """RFC 3550 section 6.4.1."""
    body = _SENDER.pack(
        report.ssrc,
        report.ntp & 0xFFFFFFFFFFFFFFFF,
        report.timestamp & 0xFFFFFFFF,
        report.packets & 0xFFFFFFFF,
        report.octets & 0xFFFFFFFF,
    ) + _write_blocks(report.blocks)
    return _HEAD.pack(0x80 | len(report.blocks), SR, len(body) // 4) + body


def write_receiver_report(ssrc: int, blocks: tuple[ReportBlock, ...]) -> bytes:
    """RFC 3550 section 6.4.2; at most 31 blocks."""
    body = _WORD.pack(ssrc) + _write_blocks(blocks)
    return _HEAD.pack(0x80 | len(blocks), RR, len(body) // 4) + body


def write_cnames(names: Iterable[tuple[int, bytes]]) -> bytes:
    """One SDES packet with a CNAME for each SSRC, at most 31 (RFC 3550 section 6.5)."""
    chunks = []
    for ssrc, name in names:
        chunk = _WORD.pack(ssrc) + bytes((1, len(name))) + name + b"\0"
        chunks.append(chunk + bytes(-len(chunk) % 4))
    body = b"".join(chunks)
    return _HEAD.pack(0x80 | len(chunks), SDES, len(body) // 4) + body


def write_pli(sender: int, ssrc: int) -> bytes:
    """Picture loss indication (RFC 4585 section 6.3.1)."""
    return _FEEDBACK.pack(0x80 | PLI, PSFB, 2, sender, ssrc)


def write_nack(sender: int, ssrc: int, numbers: Iterable[int]) -> bytes:
    """Generic NACK for ascending 16-bit numbers, close ones packed together (RFC 4585 section 6.2.1)."""
    pairs: list[list[int]] = []
    for number in numbers:
        distance = (number - pairs[-1][0] & 0xFFFF) if pairs else 0
        if pairs and 1 <= distance <= 16:
            pairs[-1][1] |= 1 << distance - 1
        else:
            pairs.append([number & 0xFFFF, 0])
    body = b"".join(_PAIR.pack(*pair) for pair in pairs)
    return _FEEDBACK.pack(0x80 | NACK, RTPFB, 2 + len(pairs), sender, ssrc) + body
