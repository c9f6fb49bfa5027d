"""What the SFU must know of H.264: keyframes, the picture's height, and which receivers understand which variant."""

from __future__ import annotations

from media.bits import Bits, Truncated

_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28
# With profiles that carry chroma_format_idc in their sequence parameter set (H.264 7.3.2.1.1).
_WITH_CHROMA = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
_MAX_SPS = 200  # octets; real ones have 10 to 40

# RFC 6184 table 5: (profile_idc, mask of profile-iop, its value) -> our name. The first that agrees counts.
_PROFILES = (
    (0x42, 0b0100_1111, 0b0100_0000, "cb"),
    (0x4D, 0b1000_1111, 0b1000_0000, "cb"),
    (0x58, 0b1100_1111, 0b1100_0000, "cb"),
    (0x42, 0b0100_1111, 0b0000_0000, "baseline"),
    (0x58, 0b1100_1111, 0b1000_0000, "baseline"),
    (0x4D, 0b1010_1111, 0b0000_0000, "main"),
    (0x64, 0b1111_1111, 0b0000_0000, "high"),
    (0x64, 0b1111_1111, 0b0000_1100, "constrained-high"),
)
# A stream of one profile is a stream of these, too: what a receiver may have named instead, the nearest first.
_CONFORMS = {
    "cb": ("cb", "baseline", "constrained-high", "main", "high"),
    "baseline": ("baseline",),  # may use tools that nothing else decodes
    "constrained-high": ("constrained-high", "high"),
    "main": ("main", "high"),
    "high": ("high",),
}
PROFILES = tuple(_CONFORMS)


def profile(level_id: str | None) -> str | None:
    """Our name of the profile in a profile-level-id; None for one that we do not forward.

    The level is not compared: browsers name 3.1 and send and decode 1080p; what a line carries decides.
    """
    if level_id is None:
        return "baseline"  # RFC 6184 section 8.1
    try:
        value = bytes.fromhex(level_id)
    except ValueError:
        return None
    if len(value) != 3:
        return None
    return next(
        (name for idc, mask, want, name in _PROFILES if value[0] == idc and value[1] & mask == want), None
    )


def key(name: str, mode: int) -> str:
    """The variant's key in the codec table."""
    return f"h264/{name}/{mode}"


def fits(name: str, mode: int) -> tuple[str, ...]:
    """Keys of the variants under which a receiver may be sent this one, the best first.

    The profile must contain the stream's (RFC 6184 table 5). Packetization mode 0 (single NAL units) is a part of
    mode 1, not the other way round (section 6.2).
    """
    modes = (0, 1) if mode == 0 else (1,)
    return tuple(key(other, m) for other in _CONFORMS[name] for m in modes)


def keyframe(data: bytes | bytearray | memoryview, start: int, end: int) -> bool:
    """True on a packet that begins an IDR picture or its parameter sets (RFC 6184 section 5)."""
    if end - start < 2:
        return False
    kind = data[start] & 0x1F
    if kind == _STAP_A:  # look at every aggregated unit
        at = start + 1
        while at + 3 <= end:
            if data[at + 2] & 0x1F in (_IDR, _SPS):
                return True
            at += 2 + (data[at] << 8 | data[at + 1])
        return False
    if kind == _FU_A:  # only its first fragment counts
        return bool(data[start + 1] & 0x80) and data[start + 1] & 0x1F in (_IDR, _SPS)
    return kind in (_IDR, _SPS)


def height(payload: bytes) -> int:
    """The picture's height in pixels if the payload has a sequence parameter set, else 0."""
    if len(payload) < 2:
        return 0
    kind = payload[0] & 0x1F
    if kind == _SPS:
        return _height(payload[1 : 1 + _MAX_SPS])
    if kind == _STAP_A:
        at = 1
        while at + 3 <= len(payload):
            size = payload[at] << 8 | payload[at + 1]
            if payload[at + 2] & 0x1F == _SPS:
                return _height(payload[at + 3 : at + 2 + min(size, _MAX_SPS)])
            at += 2 + size
    return 0


def _height(sps: bytes) -> int:
    """From what follows the NAL unit header of a sequence parameter set (H.264 7.3.2.1.1)."""
    bits = Bits(sps.replace(b"\0\0\3", b"\0\0"))  # emulation prevention
    try:
        profile_idc = bits.take(8)
        bits.take(16)  # constraints, level
        bits.golomb()
        chroma = 1
        if profile_idc in _WITH_CHROMA:
            chroma = bits.golomb()
            if chroma == 3:
                bits.take(1)
            bits.golomb()
            bits.golomb()
            bits.take(1)
            if bits.take(1):
                for place in range(8 if chroma != 3 else 12):
                    if bits.take(1):
                        _scaling_list(bits, 16 if place < 6 else 64)
        bits.golomb()
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            bits.golomb()
            bits.golomb()
            for _ in range(min(bits.golomb(), 255)):
                bits.golomb()
        bits.golomb()
        bits.take(1)
        bits.golomb()  # width
        rows = bits.golomb() + 1
        fields = 2 - bits.take(1)
        if fields == 2:
            bits.take(1)
        bits.take(1)
        cropped = 0
        if bits.take(1):
            bits.golomb()
            bits.golomb()
            cropped = bits.golomb() + bits.golomb()
    except Truncated:
        return 0
    found = fields * (16 * rows - cropped * (2 if chroma == 1 else 1))
    return found if 0 < found < 1 << 14 else 0


def _scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            coded = bits.golomb()
            delta = (coded + 1) // 2 if coded & 1 else -(coded // 2)
            following = (last + delta) % 256
        last = following or last
