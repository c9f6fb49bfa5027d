"""RTP packets as bytes: the fixed header, header extensions read and written (RFC 3550, RFC 8285)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

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

ONE_BYTE = 0xBEDE
TWO_BYTE = 0x1000  # the low four bits are free
NO_EXTENSIONS = (-1, -1, -1)
EMPTY_BLOCK = EXTENSION.pack(
    ONE_BYTE, 0
)  # an extension of no length, for who negotiated none: the X bit is always set


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


@dataclass(frozen=True, slots=True)
class ExtensionIds:
    """The ids one client uses for the extensions we know; 0 where it did not negotiate one."""

    mid: int = 0
    rid: int = 0
    repaired_rid: int = 0
    transport_cc: int = 0
    audio_level: int = 0
    orientation: int = 0

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
        )


class _Layout:
    """Where the interesting values sit in extension blocks of one shape, as shifts of the block read as a number."""

    __slots__ = ("level", "mask", "orientation", "transport", "want")

    def __init__(self) -> None:
        self.mask = 0
        self.want = 0
        self.transport = -1
        self.level = -1
        self.orientation = -1


class ExtensionReader:
    """Reads the per-packet extensions of one client.

    A client's packets repeat a handful of shapes. Each is parsed once into a mask over the id/length octets and
    three shifts; a later packet of the same size whose masked octets agree has exactly that shape, and costs one
    conversion and a few shifts in place of a loop over its octets. Audio and video often have blocks of one size,
    so a few shapes are kept for each.
    """

    __slots__ = ("_ids", "_layouts")

    MAX_LAYOUTS = 64  # sizes; a client that sends more shapes than this is parsed slowly, nothing worse
    MAX_SHAPES = 6  # of one size

    def __init__(self, ids: ExtensionIds) -> None:
        self._ids = ids
        self._layouts: dict[int, list[_Layout]] = {}

    def read(self, data: Buffer, start: int, end: int, profile: int) -> tuple[int, int, int]:
        """(transport-cc number, audio level octet, orientation octet), -1 for what is absent. Raises ParseError."""
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
        return (
            value >> layout.transport & 0xFFFF if layout.transport >= 0 else -1,
            value >> layout.level & 0xFF if layout.level >= 0 else -1,
            value >> layout.orientation & 0xFF if layout.orientation >= 0 else -1,
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
        for number, at, size in parse_extensions(data, start, end, profile):
            covered[at - start : at - start + size] = bytes(size)
            shift = (end - at - size) * 8
            if number == ids.transport_cc and size == 2:
                layout.transport = shift
            elif number == ids.audio_level and size == 1:
                layout.level = shift
            elif number == ids.orientation and size == 1:
                layout.orientation = shift
        layout.mask = int.from_bytes(covered, "big")
        layout.want = value & layout.mask
        return layout


def write_extensions(elements: list[tuple[int, bytes]]) -> bytes:
    """An extension block with its four-byte head, one-byte form (ids 1-14, values of 1-16 bytes); empty for none."""
    if not elements:
        return b""
    body = bytearray()
    for number, value in elements:
        if not (1 <= number <= 14 and 1 <= len(value) <= 16):
            raise ValueError("extension does not fit the one-byte form")
        body.append(number << 4 | len(value) - 1)
        body += value
    body += bytes(-len(body) % 4)
    return EXTENSION.pack(ONE_BYTE, len(body) // 4) + bytes(body)
