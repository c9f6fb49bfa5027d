"""What the hot path reads and writes: a publisher's incoming streams and the outlets that carry them to subscribers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from media import wire
from media.api import Kind
from media.codec import ForwardedCodec
from media.limits import Bucket
from media.nack import MissingPackets
from media.ring import PacketRing
from media.rtp import HEADER, MAX_DATAGRAM, ExtensionReader, write_extensions
from media.sequence import SequenceMap
from media.srtp import TRAILER


class Track:
    """One m-line on which a client sends: today one stream, with simulcast one for each layer.

    `key` names the source across reconnects: (participant, position among the tracks of its kind).
    """

    __slots__ = ("key", "kind", "mid", "outlets", "participant_id", "rids", "stream")

    def __init__(
        self, participant_id: str, mid: str, kind: Kind, ordinal: int, rids: tuple[str, ...]
    ) -> None:
        self.participant_id = participant_id
        self.mid = mid
        self.kind = kind
        self.rids = rids  # the accepted layers; empty without simulcast
        self.key = (participant_id, ordinal)
        self.stream: Stream | None = None
        self.outlets: tuple[Outlet, ...] = ()

    def subscribe(self, outlet: Outlet) -> None:
        """Copy-on-write: the fan-out loop may be walking the old tuple."""
        self.outlets = (*self.outlets, outlet)
        if self.stream is not None:
            self.stream.outlets = self.outlets
            self.stream.want_keyframe()

    def unsubscribe(self, outlet: Outlet) -> None:
        """The outlet gets nothing more from here."""
        self.outlets = tuple(o for o in self.outlets if o is not outlet)
        if self.stream is not None:
            self.stream.outlets = self.outlets

    def bind(self, stream: Stream | None, now: float) -> None:
        """`stream` now carries this track (a first packet, a new SSRC) or nothing does."""
        if self.stream is not None:
            self.stream.outlets = ()
        self.stream = stream
        for outlet in self.outlets:
            outlet.wait(now)
        if stream is not None:
            stream.outlets = self.outlets
            stream.want_keyframe()


class Stream:
    """One incoming SSRC with its reception statistics (RFC 3550 appendix A). Times are monotonic seconds."""

    __slots__ = (
        "base",
        "bitrate",
        "bytes",
        "clock_rate",
        "codec",
        "expected_before",
        "extensions",
        "highest",
        "is_video",
        "jitter",
        "keyframe_at",
        "keyframe_wanted",
        "missing",
        "nacks",
        "outlets",
        "packets",
        "payload_type",
        "plis",
        "received",
        "received_before",
        "report_at",
        "report_ntp",
        "report_timestamp",
        "ring",
        "ssrc",
        "track",
        "transit",
    )

    def __init__(
        self,
        track: Track,
        ssrc: int,
        payload_type: int,
        codec: ForwardedCodec,
        extensions: ExtensionReader,
        ring_packets: int,
    ) -> None:
        self.track = track
        self.extensions = extensions
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.codec = codec
        self.clock_rate = codec.clock_rate
        self.is_video = codec.kind == "video"
        self.ring = PacketRing(ring_packets) if self.is_video else None
        self.missing = MissingPackets()
        self.outlets: tuple[Outlet, ...] = ()
        self.highest = -1  # extended sequence number; -1 before the first packet
        self.base = 0
        self.received = 0
        self.packets = 0
        self.bytes = 0
        self.jitter = 0.0  # in timestamp units
        self.transit = 0
        self.expected_before = 0
        self.received_before = 0
        self.bitrate = Rate()
        self.keyframe_wanted = False
        self.keyframe_at = float("-inf")  # when it was last asked for
        self.nacks = 0
        self.plis = 0
        self.report_ntp = 0  # from the latest sender report; 0 before the first
        self.report_timestamp = 0
        self.report_at = 0.0

    def want_keyframe(self) -> None:
        """Somebody cannot show anything before the next keyframe; the feedback tick asks for it."""
        self.keyframe_wanted = self.is_video and bool(self.outlets)

    @property
    def lost(self) -> int:
        """Packets that never came, retransmissions not counted (may be negative with duplicates)."""
        return self.highest - self.base + 1 - self.received if self.highest >= 0 else 0


class Rate:
    """Bits per second between two looks at a byte counter."""

    __slots__ = ("_at", "_bytes", "bits_per_second")

    def __init__(self) -> None:
        self._at = 0.0
        self._bytes = 0
        self.bits_per_second = 0.0

    def update(self, total_bytes: int, now: float) -> None:
        if now > self._at > 0:
            self.bits_per_second = (total_bytes - self._bytes) * 8 / (now - self._at)
        self._at = now
        self._bytes = total_bytes


class Outlet:
    """One receive slot of a subscriber: a fixed SSRC whose content is whatever track it is attached to.

    It owns a buffer whose static header octets (SSRC, extension block with the mid) are written once, so that a
    forwarded packet costs one pack of the varying fields, one copy of the payload and one SRTP call.
    """

    __slots__ = (
        "address",
        "bitrate",
        "body",
        "buffer",
        "cname",
        "context",
        "extra",
        "extra_at",
        "extra_id",
        "head",
        "index",
        "jitter",
        "kind",
        "last_timestamp",
        "length",
        "lost",
        "mid",
        "nacks",
        "numbers",
        "octets",
        "packets",
        "paused_at",
        "payload_type",
        "payload_types",
        "plis",
        "pointer",
        "report_middle",
        "report_sent_at",
        "resend_budget",
        "resent",
        "retransmitted",
        "rtt",
        "rtx_payload_type",
        "rtx_sequence",
        "rtx_ssrc",
        "source_ssrc",
        "ssrc",
        "timestamp_offset",
        "track",
        "view",
        "waiting",
    )

    def __init__(
        self,
        mid: str,
        kind: Kind,
        index: int,
        payload_types: Mapping[str, tuple[int, int]],
        ssrcs: tuple[int, int],
        numbers: tuple[int, int, int],
    ) -> None:
        """`payload_types` maps a codec name to (payload type, its RTX payload type or 0); `ssrcs` are (media, RTX);
        `numbers` are the random first (sequence number, RTX sequence number, timestamp)."""
        self.mid = mid
        self.kind: Kind = kind
        self.index = index  # among the slots of this kind; slots of one index show one person
        self.cname = b"slot-%d" % index
        self.payload_types = payload_types
        self.ssrc, self.rtx_ssrc = ssrcs
        self.payload_type = 0
        self.rtx_payload_type = 0
        self.numbers = SequenceMap(numbers[0] & 0x7FFF)
        self.rtx_sequence = numbers[1] & 0x7FFF
        self.last_timestamp = numbers[2]
        self.timestamp_offset = 0
        self.paused_at = 0.0
        self.source_ssrc = -1  # the stream that timestamp_offset belongs to
        self.track: Track | None = None
        self.waiting = True  # for a packet to start with: any for audio, a keyframe for video
        self.context: Any = None
        self.address: Any = None
        self.packets = 0
        self.octets = 0
        # 1,000 a second is a whole lost 10 Mb/s stream; the burst is half a ring.
        self.resend_budget = Bucket(1000.0, 256.0, 0.0)
        self.resent: dict[int, float] = {}
        self.retransmitted = 0
        self.nacks = 0
        self.plis = 0
        self.lost = 0
        self.jitter = 0.0
        self.rtt: float | None = None
        self.report_middle = 0
        self.report_sent_at = 0.0
        self.bitrate = Rate()
        self.buffer = bytearray()
        self.view = memoryview(self.buffer)
        self.pointer: Any = None
        self.length = wire.new_length()
        self.head = 0
        self.extra = 0
        self.extra_at = 0
        self.extra_id = 0

    def open(self, context: Any, address: Any, mid_id: int, orientation_id: int) -> None:
        """The subscriber is connected: from now on this outlet can send. Extension ids are the subscriber's."""
        self.context = context
        self.address = address
        elements = [(mid_id, self.mid.encode())]
        if self.kind == "video" and orientation_id:
            elements.append((orientation_id, b"\0"))
        block = write_extensions(elements)
        self.head = HEADER.size + len(block)
        self.extra_id = orientation_id if self.kind == "video" else 0
        self.extra_at = HEADER.size + 4 + 1 + len(self.mid.encode())
        self.buffer = bytearray(MAX_DATAGRAM + TRAILER)
        HEADER.pack_into(self.buffer, 0, 0x90, 0, 0, 0, self.ssrc)
        self.buffer[HEADER.size : self.head] = block
        self.extra = -1
        if self.extra_id:
            self.set_extra(-1)
        self.view = memoryview(self.buffer)
        self.pointer = wire.pin(self.buffer)

    def set_extra(self, orientation: int) -> None:
        """Write the orientation element, or padding where there is none (RFC 8285: zeros between elements)."""
        self.buffer[self.extra_at] = self.extra_id << 4 if orientation >= 0 else 0
        self.buffer[self.extra_at + 1] = max(orientation, 0)
        self.extra = orientation

    def attach(self, track: Track) -> None:
        """Show this track from its next keyframe (audio: next packet) on."""
        self.track = track
        track.subscribe(self)

    def detach(self, now: float) -> None:
        """Show nobody."""
        if self.track is not None:
            self.track.unsubscribe(self)
            self.track = None
            self.wait(now)

    def wait(self, now: float) -> None:
        """Hold everything back until there is something a decoder can start with."""
        if not self.waiting:
            self.waiting = True
            self.paused_at = now
            self.resent.clear()

    def begin(self, stream: Stream, source: int, timestamp: int, now: float) -> bool:
        """Start forwarding at extended number `source`; False if this subscriber cannot take the codec.

        Output sequence numbers continue without a hole; timestamps continue by the time that passed, because
        sources have unrelated timestamp bases. The same source keeps its mapping.
        """
        types = self.payload_types.get(stream.codec.name)
        if types is None:
            return False
        self.payload_type, self.rtx_payload_type = types
        self.numbers.rebase(source)
        if self.source_ssrc != stream.ssrc:
            elapsed = now - self.paused_at if self.packets else 0.0
            self.timestamp_offset = self.last_timestamp + max(1, int(elapsed * stream.clock_rate)) - timestamp
            self.source_ssrc = stream.ssrc
        self.waiting = False
        return True
