"""Which codecs are forwarded, and how a keyframe is recognised in each: the one table to extend for another codec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from media.api import Kind

Buffer = bytes | bytearray | memoryview
KeyframeTest = Callable[[Buffer, int, int], bool]


def never(_data: Buffer, _start: int, _end: int) -> bool:
    """Audio has no keyframes."""
    return False


def vp8_keyframe(data: Buffer, start: int, end: int) -> bool:
    """True on the first packet of a VP8 keyframe (RFC 7741 section 4.2 and 4.3)."""
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


def h264_keyframe(data: Buffer, start: int, end: int) -> bool:
    """True on a packet that begins an IDR picture or its parameter sets (RFC 6184 section 5)."""
    if end - start < 2:
        return False
    kind = data[start] & 0x1F
    if kind == 24:  # STAP-A: look at every aggregated unit
        at = start + 1
        while at + 3 <= end:
            if data[at + 2] & 0x1F in (5, 7):
                return True
            at += 2 + (data[at] << 8 | data[at + 1])
        return False
    if kind == 28:  # FU-A: only its first fragment counts
        return bool(data[start + 1] & 0x80) and data[start + 1] & 0x1F in (5, 7)
    return kind in (5, 7)


@dataclass(frozen=True, slots=True)
class ForwardedCodec:
    """A codec we forward: its SDP name in lower case, clock rate, and the test for a keyframe's first packet."""

    name: str
    kind: Kind
    clock_rate: int
    keyframe: KeyframeTest
    required_parameters: tuple[tuple[str, str], ...] = ()


OPUS = ForwardedCodec("opus", "audio", 48000, never)
VP8 = ForwardedCodec("vp8", "video", 90000, vp8_keyframe)
# Mode 1 only: every browser decodes it, and mode 0 cannot carry a keyframe larger than a packet.
H264 = ForwardedCodec("h264", "video", 90000, h264_keyframe, (("packetization-mode", "1"),))

# In our order of preference: VP8 first, because every WebRTC endpoint must decode it (RFC 7742), so that nobody
# meets a picture he cannot see.
CODECS: tuple[ForwardedCodec, ...] = (OPUS, VP8, H264)
