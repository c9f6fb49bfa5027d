"""RTP packets as bytes: the fixed header, header extensions read and written (RFC 3550, RFC 8285)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

HEADER = Struct("!BBHII")  # V/P/X/CC, M/PT, sequence number, timestamp, SSRC
EXTENSION = Struct("!HH")  # profile, length in 32-bit words
MAX_DATAGRAM = 2048

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ORIENTATION = "urn:3gpp:video-orientation"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

ONE_BYTE = 0xBEDE
TWO_BYTE = 0x1000  # the low four bits are free
EMPTY_BLOCK = EXTENSION.pack(ONE_BYTE, 0)  # for who negotiated none: the X bit is always set


class ParseError(ValueError):
    """A packet that is not what it claims to be; `reason` is the name under which it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_payload(data: Buffer, length: int) -> tuple[int, int, int, int]:
    """(payload start, payload end without padding, extension start, profile) of an RTP packet of `length` bytes.

    The extension ends where the payload starts; profile 0 means there is none. Raises ParseError("rtp_malformed").
    """
    if length < 12 or data[0] >> 6 != 2:
        raise ParseError("rtp_malformed")
    first = data[0]
    start = 12 + ((first & 0x0F) << 2)
    profile = 0
    extension = start
    if first & 0x10:
        if start + 4 > length:
            raise ParseError("rtp_malformed")
        profile, words = EXTENSION.unpack_from(data, start)
        extension = start + 4
        start = extension + (words << 2)
    if start > length:
        raise ParseError("rtp_malformed")
    if first & 0x20:
        if start == length:
            raise ParseError("rtp_malformed")
        padding = data[length - 1]
        length -= padding
        if padding == 0 or start > length:
            raise ParseError("rtp_malformed")
    return start, length, extension, profile


def parse_extensions(data: Buffer, start: int, end: int, profile: int) -> list[tuple[int, int, int]]:
    """(id, value start, value length) of every element. Raises ParseError("rtp_extension_malformed")."""
    elements: list[tuple[int, int, int]] = []
    at = start
    if profile == ONE_BYTE:
        while at < end:
            head = data[at]
            at += 1
            if head == 0:
                continue
            if head >> 4 == 15:  # RFC 8285 4.2: stop here
                break
            size = (head & 0x0F) + 1
            if at + size > end:
                raise ParseError("rtp_extension_malformed")
            elements.append((head >> 4, at, size))
            at += size
    elif profile & 0xFFF0 == TWO_BYTE:
        while at < end:
            head = data[at]
            at += 1
            if head == 0:
                continue
            if at >= end or at + 1 + data[at] > end:
                raise ParseError("rtp_extension_malformed")
            elements.append((head, at + 1, data[at]))
            at += 1 + data[at]
    return elements


class Extras(NamedTuple):
    """What the extensions of one packet say that its subscribers are told too; -1 or b"" for what is absent."""

    level: int = -1  # audio level octet: V bit and -dBov (RFC 6464)
    orientation: int = -1  # 3GPP TS 26.114 section 7.4.5
    playout: bytes = b""  # playout-delay: twice 12 bits of 10 ms
    descriptor: bytes = b""  # dependency descriptor (AV1 RTP specification, appendix A); 3 octets at least


# Nearly every packet carries a level or nothing: those are made once. [-1] is None: nothing.
_LEVELS: tuple[Extras | None, ...] = (*(Extras(level) for level in range(256)), None)
NO_EXTENSIONS: tuple[int, int, Extras | None] = (-1, -1, None)


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """The ids one client uses for the extensions we know; 0 where it did not negotiate one."""

    mid: int = 0
    rid: int = 0
    repaired_rid: int = 0
    transport_cc: int = 0
    audio_level: int = 0
    orientation: int = 0
    abs_send_time: int = 0
    playout_delay: int = 0
    descriptor: int = 0

    @classmethod
    def of(cls, ids: dict[str, int]) -> ExtensionIds:
        """From URI to id."""
        return cls(
            mid=ids.get(MID, 0),
            rid=ids.get(RID, 0),
            repaired_rid=ids.get(REPAIRED_RID, 0),
            transport_cc=ids.get(TRANSPORT_CC, 0),
            audio_level=ids.get(AUDIO_LEVEL, 0),
            orientation=ids.get(ORIENTATION, 0),
            abs_send_time=ids.get(ABS_SEND_TIME, 0),
            playout_delay=ids.get(PLAYOUT_DELAY, 0),
            descriptor=ids.get(DESCRIPTOR, 0),
        )


class _Layout:
    """Where the interesting values sit in extension blocks of one shape, as shifts of the block read as a number.

    `rare` is None in the usual shapes, else the places of (orientation, playout delay, descriptor) as (start, end).
    """

    __slots__ = ("level", "mask", "rare", "transport", "want")

    def __init__(self) -> None:
        self.mask = 0
        self.want = 0
        self.transport = -1
        self.level = -1
        self.rare: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None


class ExtensionReader:
    """Reads the per-packet extensions of one client.

    A client's packets repeat a handful of shapes. Each is parsed once into a mask over the id/length octets and
    the places of the values; a later packet of the same size whose masked octets agree has exactly that shape, and
    costs one conversion and a few shifts in place of a loop over its octets. Audio and video often have blocks of
    one size, so a few shapes are kept for each.
    """

    __slots__ = ("_ids", "_layouts")

    MAX_LAYOUTS = 64  # sizes; a client that sends more shapes than this is parsed slowly, nothing worse
    MAX_SHAPES = 6  # of one size

    def __init__(self, ids: ExtensionIds) -> None:
        self._ids = ids
        self._layouts: dict[int, list[_Layout]] = {}

    def read(self, data: Buffer, start: int, end: int, profile: int) -> tuple[int, int, Extras | None]:
        """(transport-cc number or -1, audio level octet or -1, what is passed on). Raises ParseError."""
        value = int.from_bytes(data[start:end], "big")
        key = profile << 16 | (end - start)
        for layout in self._layouts.get(key, ()):
            if value & layout.mask == layout.want:
                break
        else:
            layout = self._learn(data, start, end, profile, value)
            if len(self._layouts) < self.MAX_LAYOUTS or key in self._layouts:
                shapes = self._layouts.setdefault(key, [])
                shapes.insert(0, layout)
                del shapes[self.MAX_SHAPES :]
        level = value >> layout.level & 0xFF if layout.level >= 0 else -1
        return (
            value >> layout.transport & 0xFFFF if layout.transport >= 0 else -1,
            level,
            _LEVELS[level] if layout.rare is None else _rare(data, start, level, layout.rare),
        )

    def text(self, data: Buffer, start: int, end: int, profile: int) -> tuple[str, str, str]:
        """(mid, rid, repaired rid), empty for what is absent; needed only when a stream is first seen."""
        found = {0: ""}
        for number, at, size in parse_extensions(data, start, end, profile):
            found[number] = bytes(data[at : at + size]).decode("ascii", "replace")
        ids = self._ids
        return found.get(ids.mid, ""), found.get(ids.rid, ""), found.get(ids.repaired_rid, "")

    def _learn(self, data: Buffer, start: int, end: int, profile: int, value: int) -> _Layout:
        layout = _Layout()
        ids = self._ids
        covered = bytearray(b"\xff" * (end - start))  # every octet fixes the shape, except the values
        orientation = playout = descriptor = (0, 0)
        for number, at, size in parse_extensions(data, start, end, profile):
            place = (at - start, at - start + size)
            covered[place[0] : place[1]] = bytes(size)
            shift = (end - at - size) * 8
            if number == ids.transport_cc and size == 2:
                layout.transport = shift
            elif number == ids.audio_level and size == 1:
                layout.level = shift
            elif number == ids.orientation and size == 1:
                orientation = place
            elif number == ids.playout_delay and size == 3:
                playout = place
            elif number == ids.descriptor and size >= 3:
                descriptor = place
        layout.mask = int.from_bytes(covered, "big")
        layout.want = value & layout.mask
        rare = (orientation, playout, descriptor)
        if any(last for _, last in rare):
            layout.rare = rare
        return layout


def _rare(
    data: Buffer, start: int, level: int, places: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
) -> Extras:
    orientation, playout, descriptor = places
    return Extras(
        level,
        data[start + orientation[0]] if orientation[1] else -1,
        bytes(data[start + playout[0] : start + playout[1]]),
        bytes(data[start + descriptor[0] : start + descriptor[1]]),
    )


def write_extensions(elements: list[tuple[int, bytes]], two_byte: bool = False) -> bytes:
    """An extension block with its four-byte head; empty for no elements. Raises ValueError for what fits neither form.

    One-byte form where it can be (ids 1-14, values of 1-16 bytes), unless `two_byte`; else the two-byte form (ids
    1-255, values up to 255 bytes).
    """
    if not elements:
        return b""
    body = bytearray()
    if not two_byte and all(1 <= number <= 14 and 1 <= len(value) <= 16 for number, value in elements):
        for number, value in elements:
            body.append(number << 4 | len(value) - 1)
            body += value
        profile = ONE_BYTE
    else:
        for number, value in elements:
            if not (1 <= number <= 255 and len(value) <= 255):
                raise ValueError("extension does not fit the two-byte form")
            body.append(number)
            body.append(len(value))
            body += value
        profile = TWO_BYTE
    body += bytes(-len(body) % 4)
    return EXTENSION.pack(profile, len(body) // 4) + bytes(body)
