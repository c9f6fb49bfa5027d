"""What the SFU must know of AV1's payload: where a coded video sequence begins, and the height of its pictures."""

from __future__ import annotations

from media.bits import Bits, Truncated

_SEQUENCE_HEADER = 1  # OBU type
_MAX_HEADER = 128  # octets; real ones have about 12


def keyframe(data: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    """True on the packet that begins a coded video sequence: the N bit of the aggregation header, with a sequence
    header OBU, and no OBU continued from before (AV1 RTP payload specification 4.4)."""
    return (
        end - start >= 2
        and data[start] & 0x88 == 0x08
        and _first(bytes(data[start : start + 16]))[0] == _SEQUENCE_HEADER
    )


def height(payload: bytes) -> int:
    """The largest picture of the sequence in pixels, if the payload begins with its header; else 0."""
    if len(payload) < 2 or payload[0] & 0x80:
        return 0
    kind, at = _first(payload[:16])
    if kind != _SEQUENCE_HEADER or not at:
        return 0
    try:
        return _height(Bits(payload[at : at + _MAX_HEADER]))
    except Truncated:
        return 0


def _first(head: bytes) -> tuple[int, int]:
    """(type, where the content begins) of the first OBU element behind the aggregation header; (-1, 0) if cut off."""
    at = 1
    if head[0] >> 4 & 3 != 1:  # W: a single element has no length
        at = _behind_length(head, at)
    if not 0 < at < len(head):
        return -1, 0
    header = head[at]
    at += 2 if header & 0x04 else 1  # extension
    if header & 0x02:  # has_size_field
        at = _behind_length(head, at)
    return header >> 3 & 0x0F, at


def _behind_length(data: bytes, at: int) -> int:
    """After a leb128 number of at most eight octets; 0 if it does not end."""
    for place in range(at, min(at + 8, len(data))):
        if data[place] < 128:
            return place + 1
    return 0


def _height(bits: Bits) -> int:
    """max_frame_height of sequence_header_obu (AV1 5.5.1)."""
    bits.take(4)  # profile, still_picture
    if bits.take(1):  # reduced_still_picture_header
        bits.take(5)
    else:
        model = delay = 0
        if bits.take(1):  # timing_info_present_flag
            bits.take(64)
            if bits.take(1):
                bits.golomb()
            model = bits.take(1)
            if model:
                delay = bits.take(5) + 1
                bits.take(32 + 5 + 5)
        display = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if model and bits.take(1):
                bits.take(2 * delay + 1)
            if display and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    bits.take(width_bits)
    return bits.take(height_bits) + 1
