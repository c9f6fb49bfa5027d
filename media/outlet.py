"""What goes out: the receive slots of a subscriber, as the hot path reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from media.api import Kind
from media.limits import Bucket
from media.rtp import write_extensions
from media.sequence import SequenceMap
from media.stream import Rate, Stream, Track


class Outlet:
    """One receive slot of a subscriber: a fixed SSRC whose content is whatever track it is attached to.

    Its extension block (the mid, and the orientation where there is one) is written once, so that a forwarded
    packet costs one pack and one SRTP call.
    """

    __slots__ = (
        "_mid_id",
        "address",
        "asked",
        "bitrate",
        "block",
        "cname",
        "context",
        "fresh",
        "index",
        "jitter",
        "kind",
        "last_timestamp",
        "lost",
        "mid",
        "nacks",
        "numbers",
        "octets",
        "orientation_id",
        "oriented_blocks",
        "packets",
        "paused_at",
        "payload_type",
        "payload_types",
        "plis",
        "replayed",
        "report_middle",
        "report_sent_at",
        "resend_budget",
        "resent",
        "retransmitted",
        "rtt",
        "rtx_payload_type",
        "rtx_sequence",
        "rtx_ssrc",
        "segmentation",
        "source_ssrc",
        "ssrc",
        "timestamp_offset",
        "track",
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
        self.asked = (
            False  # whether the keyframe that the stream is now asked for is on this outlet's account
        )
        self.fresh = False  # attached, and not yet looked at by Sender.replay
        self.replayed: dict[int, int] = {}  # timestamps of replayed frames that were squeezed -> as sent
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
        self.segmentation = True  # until the path refuses it
        self.block = b""
        self.orientation_id = 0
        self.oriented_blocks: dict[int, bytes] = {}
        self._mid_id = 0

    def open(self, context: Any, address: Any, mid_id: int, orientation_id: int) -> None:
        """The subscriber is connected: from now on this outlet can send. Extension ids are the subscriber's."""
        self.context = context
        self.address = address
        self._mid_id = mid_id
        self.orientation_id = orientation_id if self.kind == "video" else 0
        self.block = write_extensions([(mid_id, self.mid.encode())])
        self.oriented_blocks = {}

    def oriented(self, orientation: int) -> bytes:
        """The extension block with this orientation octet, where the subscriber knows the extension."""
        block = self.oriented_blocks.get(orientation)
        if block is None:
            elements = [(self._mid_id, self.mid.encode())]
            if self.orientation_id:
                elements.append((self.orientation_id, bytes((orientation,))))
            block = self.oriented_blocks[orientation] = write_extensions(elements)
        return block

    def move(self, address: Any) -> None:
        """The subscriber is somewhere else, perhaps behind a path that takes bursts."""
        self.address = address
        self.segmentation = True

    def attach(self, track: Track) -> None:
        """Show this track from its next keyframe (audio: next packet) on."""
        self.track = track
        self.fresh = True
        stream = track.stream
        self.asked = stream is not None and not stream.keyframe_wanted
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
            self.replayed.clear()

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
