"""One outgoing RTP stream: headers, extensions, payloads that look like Opus or VP8, and a stamp in each."""

from struct import Struct

from loadtest import stamp
from loadtest.offer import ABS_SEND_TIME
from media.rtp import AUDIO_LEVEL, HEADER, MID, TRANSPORT_CC, write_extensions

OPUS_PAYLOAD = 100  # octets: 40 kb/s, what Chromium sends of speech
OPUS_TOC = 0x78  # 20 ms, hybrid fullband, mono, one frame (RFC 6716 section 3.1)
SPEECH_LEVEL = 0x80 | 30  # voice activity, -30 dBov (RFC 6464)

VP8_PAYLOAD = 1100  # octets at most, so that a packet stays below Chromium's 1,200
KEYFRAME_FACTOR = 3  # a keyframe is so many times larger than the others

_NUMBER = Struct("!H")
_DESCRIPTOR = Struct("!BBH")  # VP8: X and S, I, 15-bit picture id (RFC 7741 section 4.2)
_KEYFRAME_HEAD = bytes((0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x01))  # shown, 640x360
_DELTA_HEAD = bytes((0x11, 0x02, 0x00))

_FILLER = bytes(range(256)) * 5


class Stream:
    """Sequence numbers, timestamps and counts of one stream. Writes packets into a buffer it is given."""

    def __init__(
        self, run: int, number: int, ssrc: int, payload_type: int, mid: str, ids: dict[str, int]
    ) -> None:
        """`number` is unique in the run; `ids` are the header extensions that the answer accepted, URI to id."""
        self.run = run
        self.number = number
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.next_index = 0
        # The lower half of the sequence numbers, as RFC 3711 section 3.3.1 advises.
        self.sequence = number * 37 & 0x3FFF
        self.timestamp = 0
        self.packets = 0
        self.octets = 0
        self.window_first = -1
        self.window_end = 0
        self.window_sent = 0
        values = {
            ABS_SEND_TIME: bytes(3),
            TRANSPORT_CC: bytes(2),
            MID: mid.encode(),
            AUDIO_LEVEL: bytes((SPEECH_LEVEL,)),
        }
        at = HEADER.size + 4
        self._time_at = self._transport_at = 0
        elements = []
        for uri, value in values.items():
            if uri not in ids:
                continue
            if uri == ABS_SEND_TIME:
                self._time_at = at + 1
            elif uri == TRANSPORT_CC:
                self._transport_at = at + 1
            elements.append((ids[uri], value))
            at += 1 + len(value)
        self._extensions = write_extensions(elements)
        self._first = 0x90 if elements else 0x80
        self.header_size = HEADER.size + len(self._extensions)

    def write(self, buffer: bytearray, at: int, size: int, marker: bool, transport: int, now: int) -> int:
        """One packet with a payload of `size` octets at `at`; where its payload begins."""
        HEADER.pack_into(
            buffer,
            at,
            self._first,
            marker << 7 | self.payload_type,
            self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        payload = at + self.header_size
        buffer[at + HEADER.size : payload] = self._extensions
        self.touch(buffer, at, transport, now)
        buffer[payload : payload + size] = _FILLER[:size]
        stamp.write(buffer, payload + size, self.run, self.number, self.next_index, now)
        self.next_index += 1
        self.sequence += 1
        self.packets += 1
        self.octets += size
        return payload

    def touch(self, buffer: bytearray, at: int, transport: int, now: int) -> None:
        """Write the extensions that differ from send to send: abs-send-time and the transport-wide number."""
        if self._time_at:
            moment = ((now << 18) // 1_000_000_000) & 0xFFFFFF
            buffer[at + self._time_at : at + self._time_at + 3] = moment.to_bytes(3, "big")
        if self._transport_at:
            _NUMBER.pack_into(buffer, at + self._transport_at, transport & 0xFFFF)

    def sent(self, first: int, count: int) -> None:
        """`count` packets from index `first` on left within the measured window."""
        if self.window_first < 0:
            self.window_first = first
        self.window_end = first + count
        self.window_sent += count


def opus_head(buffer: bytearray, payload: int) -> None:
    """Make the payload begin like an Opus packet."""
    buffer[payload] = OPUS_TOC


def vp8_head(buffer: bytearray, payload: int, picture: int, first: bool, keyframe: bool) -> None:
    """Make the payload begin like a packet of a VP8 frame, its first one with the frame header (RFC 6386 9.1)."""
    _DESCRIPTOR.pack_into(buffer, payload, 0x90 if first else 0x80, 0x80, 0x8000 | picture & 0x7FFF)
    if first:
        head = _KEYFRAME_HEAD if keyframe else _DELTA_HEAD
        buffer[payload + 4 : payload + 4 + len(head)] = head


def split_frame(octets: int) -> tuple[int, int]:
    """(packets, payload octets of each): equal packets, which a kernel can send in one burst."""
    packets = max(-(-octets // VP8_PAYLOAD), 1)
    return packets, max(-(-octets // packets), 40)
