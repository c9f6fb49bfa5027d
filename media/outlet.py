"""What goes out: the receive slots of a subscriber, as the hot path reads and writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from media.api import Kind
from media.codec import VP8
from media.downlink import Downlink
from media.limits import Bucket
from media.pace import Recent, Watch
from media.replay import recall
from media.rewrite import Rewriter
from media.rtp import EMPTY_BLOCK, write_extensions
from media.sequence import SequenceMap
from media.stream import Rate, Stream, Track
from media.vp8 import Description, Pictures, describe


class Outlet:
    """One receive slot of a subscriber: a fixed SSRC whose content is whatever track it is attached to.

    Its extension block (the mid, and the orientation where there is one) is written once, so that a forwarded
    packet costs one pack and one SRTP call.
    """

    __slots__ = (
        "_mid_id",
        "_transport_id",
        "address",
        "allowed",
        "asked",
        "bitrate",
        "block",
        "cname",
        "context",
        "downlink",
        "fresh",
        "frozen",
        "granted",
        "head",
        "index",
        "jitter",
        "judged_at",
        "kind",
        "last_timestamp",
        "lead",
        "loss",
        "lost",
        "mid",
        "nacks",
        "numbers",
        "octets",
        "orientation_id",
        "oriented_blocks",
        "packets",
        "paused",
        "paused_at",
        "payload_type",
        "payload_types",
        "plis",
        "replayed",
        "report_middle",
        "report_sent_at",
        "resend_budget",
        "resent",
        "rest",
        "retransmitted",
        "rewriter",
        "rtt",
        "rtx_payload_type",
        "rtx_sequence",
        "rtx_ssrc",
        "segmentation",
        "sendto",
        "source_ssrc",
        "ssrc",
        "stream",
        "target",
        "timestamp_offset",
        "track",
        "wanted",
        "watch",
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
        self.asked = (
            False  # whether the keyframe that the stream is now asked for is on this outlet's account
        )
        self.fresh = False  # attached, and not yet looked at by Sender.replay
        self.replayed: dict[int, int] = {}  # timestamps of replayed frames that were squeezed -> as sent
        self.stream: Stream | None = None  # what is forwarded now
        self.target: Stream | None = None  # what is to be forwarded from its next keyframe on
        self.wanted: int | None = None  # lines of picture; None the best there is, 0 nothing
        self.allowed: tuple[Stream, ...] | None = None  # by the allocator; None: all
        self.rewriter: Rewriter | None = None  # of the payload; None as long as nothing in it must change
        self.context: Any = None
        self.address: Any = None
        self.sendto: Callable[[Any, Any], int] = _nowhere  # (datagram, address): the way to this subscriber
        self.packets = 0
        self.octets = 0
        # 1,000 a second is a whole lost 10 Mb/s stream; the burst is half a ring.
        self.resend_budget = Bucket(1000.0, 256.0, 0.0)
        self.resent: dict[int, float] = {}
        self.retransmitted = 0
        self.nacks = 0
        self.plis = 0
        self.lost = 0
        self.loss = 0.0  # share lost lately
        self.watch = Watch()
        self.frozen = Recent()
        self.jitter = 0.0
        self.rtt: float | None = None
        self.report_middle = 0
        self.report_sent_at = 0.0
        self.bitrate = Rate()
        self.segmentation = True  # until the path refuses it
        self.block = b""
        self.head = 0  # octets of the block
        self.lead = self.rest = b""  # the block before and after the transport-wide number
        self.orientation_id = 0
        self.oriented_blocks: dict[int, bytes] = {}
        self._mid_id = 0
        self._transport_id = 0
        self.downlink: Downlink | None = None  # where packets are numbered transport-wide
        self.granted = 99  # the allocator's last choice
        self.paused = False  # by the allocator, for want of bandwidth
        self.judged_at = 0.0  # when the allocator last changed its mind about that

    def open(
        self,
        context: Any,
        address: Any,
        mid_id: int,
        orientation_id: int,
        transport_id: int = 0,
        downlink: Downlink | None = None,
    ) -> None:
        """The subscriber is connected: from now on this outlet can send. Extension ids are the subscriber's.

        The transport-wide number is the first element, so that a block is 5 octets, the number, and the rest.
        """
        self.context = context
        self.address = address
        self._transport_id = transport_id
        self.downlink = downlink if transport_id else None
        self._mid_id = mid_id
        self.orientation_id = orientation_id if self.kind == "video" else 0
        self.block = write_extensions(self._elements()) or EMPTY_BLOCK
        self.head = len(self.block)
        self.lead, self.rest = self.block[:5], self.block[7:]
        self.oriented_blocks = {}

    def _elements(self) -> list[tuple[int, bytes]]:
        elements = [(self._mid_id, self.mid.encode())] if self._mid_id else []
        return [(self._transport_id, b"\0\0"), *elements] if self._transport_id else elements

    def oriented(self, orientation: int) -> bytes:
        """The extension block with this orientation octet, where the subscriber knows the extension."""
        block = self.oriented_blocks.get(orientation)
        if block is None:
            elements = self._elements()
            if self.orientation_id:
                elements.append((self.orientation_id, bytes((orientation,))))
            block = self.oriented_blocks[orientation] = write_extensions(elements) or EMPTY_BLOCK
        return block

    def move(self, address: Any, sendto: Callable[[Any, Any], int], segmentation: bool) -> None:
        """The subscriber is somewhere else, perhaps behind a path that takes bursts (`segmentation`: the UDP socket).

        `sendto(datagram, address)` raises BlockingIOError when the path is full, another OSError when it fails.
        """
        self.address = address
        self.sendto = sendto
        self.segmentation = segmentation

    def attach(self, track: Track, now: float = 0.0) -> None:
        """Show this track from its next keyframe (audio: next packet) on."""
        self.track = track
        self.fresh = True
        self.asked = not any(stream.keyframe_wanted for stream in track.streams)
        track.subscribe(self, now)

    def detach(self, now: float) -> None:
        """Show nobody."""
        if self.track is not None:
            self.track.unsubscribe(self)
            self.track = None
            self.wait(now)

    @property
    def waiting(self) -> bool:
        """Nothing is forwarded before there is something a decoder can start with."""
        return self.stream is None

    def wait(self, now: float) -> None:
        """Hold everything back until there is something a decoder can start with: any audio packet, a keyframe."""
        if self.stream is not None:
            if self.stream is not self.target:
                self.stream.drop(self)
            self.stream = None
            self.paused_at = now
            self.resent.clear()
            self.replayed.clear()

    def begin(self, stream: Stream, source: int, timestamp: int, payload: bytes, now: float) -> bool:
        """Start forwarding, or change the layer, at extended number `source`; False if this subscriber cannot take
        the codec.

        Output sequence numbers continue without a hole; timestamps continue by the time that passed, because
        sources have unrelated timestamp bases. The same source keeps its mapping.
        """
        types = self.payload_types.get(stream.codec.name)
        if types is None:
            return False
        self.payload_type, self.rtx_payload_type = types
        before = self.stream
        if stream.codec is VP8:
            self._continue_pictures(before, payload)
        else:
            self.rewriter = None
        self.numbers.rebase(source)
        if before is not None and before is not stream:
            offset = self.timestamp_offset + _distance(before, stream, now)
            step = timestamp + offset - self.last_timestamp & 0xFFFFFFFF
            # Later than what was sent, by less than a pause in which nobody switches.
            self.timestamp_offset = (
                offset if 0 < step < 2 * stream.clock_rate else self.last_timestamp + 1 - timestamp
            )
            before.drop(self)
            self.replayed.clear()
        elif self.source_ssrc != stream.ssrc:
            elapsed = now - self.paused_at if self.packets else 0.0
            self.timestamp_offset = self.last_timestamp + max(1, int(elapsed * stream.clock_rate)) - timestamp
        self.source_ssrc = stream.ssrc
        self.stream = stream
        return True

    def _continue_pictures(self, before: Stream | None, payload: bytes) -> None:
        """VP8 picture numbers go on where they were; made only when there is something to continue."""
        said = describe(payload)
        if said is None:
            return
        pictures = self._pictures()
        if pictures is None and before is not None and before.codec is VP8:
            last = self._last_description(before)
            if last is not None:
                pictures = self.rewriter = Pictures(last.picture, last.tl0)
        if pictures is not None:
            pictures.switch(said)

    def limit(self, _spatial: int, temporal: int) -> None:
        """Of a stream that has layers inside, send those up to these only (layers.ALL: all of them)."""
        self.limit_temporal(min(temporal, 3))

    def limit_temporal(self, highest: int) -> None:
        """Send temporal layers up to `highest` only, from the next frame on that allows it (VP8)."""
        pictures = self._pictures()
        if pictures is None:
            if highest >= 3 or self.stream is None or self.stream.codec is not VP8:
                return
            said = self._last_description(self.stream)
            if said is None:
                return
            pictures = self.rewriter = Pictures(said.picture, said.tl0)
            pictures.adopt(said)
        pictures.wanted = highest

    def _pictures(self) -> Pictures | None:
        return self.rewriter if isinstance(self.rewriter, Pictures) else None

    def _last_description(self, stream: Stream) -> Description | None:
        """Of the latest packet that was sent of this VP8 stream."""
        data = (
            stream.ring.get(self.numbers.highest - self.numbers.offset) if stream.ring is not None else None
        )
        packet = recall(stream, 0, data, 0.0) if data is not None else None
        return describe(packet[3]) if packet is not None else None


def _nowhere(_datagram: Any, _address: Any) -> int:
    """The subscriber has no address yet."""
    raise OSError("no address")


def _distance(before: Stream, after: Stream, now: float) -> int:
    """What to add to timestamps of `after` to put them on the time line of `before`: by the sender's own clock
    where both have reported it, else by when their latest packets arrived."""
    if before.report_ntp and after.report_ntp:
        seconds = (before.report_ntp - after.report_ntp) / (1 << 32)
        return before.report_timestamp - after.report_timestamp - int(seconds * after.clock_rate)
    return after.transit - before.transit
