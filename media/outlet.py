"""What goes out: the receive slots of a subscriber, as the hot path reads and writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any
from weakref import ref

from media.api import Kind
from media.codec import OPUS, RED, VP8
from media.downlink import Downlink
from media.layered import Layers
from media.layers import ALL
from media.limits import Bucket
from media.pace import Recent, Watch
from media.recorder import Kind as Recorded
from media.recorder import Recorder
from media.red import Blocks, headers
from media.rewrite import Rewriter
from media.rtp import ExtensionIds, Extras
from media.sequence import SequenceMap
from media.stream import Rate, Stream, Track
from media.svc import Selector
from media.template import Template, template_of
from media.vp8 import Description, Pictures, describe


class Former:
    """How a subscriber got the layer before this one: enough to retransmit what was sent just before the switch."""

    __slots__ = (
        "blanks", "frame_offset", "last_frame", "numbers", "replayed", "rewriter", "stream", "timestamp_offset",
    )  # fmt: skip

    def __init__(self, outlet: Outlet, stream: Stream) -> None:
        self.stream = stream
        self.numbers = outlet.numbers.copy()
        self.timestamp_offset = outlet.timestamp_offset
        self.replayed = outlet.replayed
        self.blanks = outlet.blanks
        self.rewriter = deepcopy(outlet.rewriter)  # a switch is rare: 50 us
        self.frame_offset = outlet.frame_offset
        self.last_frame = outlet.last_frame


class Outlet:
    """One receive slot of a subscriber: a fixed SSRC whose content is whatever track it is attached to.

    Its extension block comes ready from a template that it shares with its like, so that a forwarded packet costs one
    pack and one SRTP call.
    """

    __slots__ = (
        "address",
        "allowed",
        "asked",
        "bitrate",
        "blanks",
        "cname",
        "context",
        "downlink",
        "former",
        "frame_offset",
        "fresh",
        "frozen",
        "granted",
        "index",
        "jitter",
        "judged_at",
        "kind",
        "last_frame",
        "last_timestamp",
        "limits",
        "loss",
        "lost",
        "mid",
        "nacks",
        "numbers",
        "octets",
        "packets",
        "paused",
        "paused_at",
        "payload_type",
        "payload_types",
        "plis",
        "recorder",
        "replayed",
        "report_middle",
        "report_sent_at",
        "resend_budget",
        "resent",
        "retransmitted",
        "rewriter",
        "rtt",
        "rtx_payload_type",
        "rtx_sequence",
        "rtx_ssrc",
        "segmentation",
        "sendto",
        "serial",
        "source",
        "ssrc",
        "stream",
        "takes_descriptor",
        "target",
        "template",
        "timestamp_offset",
        "track",
        "unwraps",
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
        """`payload_types` maps a codec's key to (payload type, its RTX payload type or 0); `ssrcs` are (media, RTX);
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
        self.source: ref[Stream] | None = (
            None  # the stream that timestamp_offset belongs to, if it still exists
        )
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
        self.takes_descriptor = False  # the dependency descriptor was negotiated
        self.limits = (ALL, ALL)  # (spatial, temporal) layers inside a stream
        self.unwraps = False  # of redundant audio, is sent the packet itself only
        self.rewriter: Rewriter | None = None  # of the payload; None as long as nothing in it must change
        self.context: Any = None
        self.address: Any = None
        self.sendto: Callable[[Any, Any], int] = _nowhere  # (datagram, address): the way to this subscriber
        self.packets = 0
        self.octets = 0
        # 1,000 a second is a whole lost 10 Mb/s stream; the burst is half a ring.
        self.resend_budget = Bucket(1000.0, 256.0, 0.0)
        self.resent: dict[int, float] = {}
        self.blanks: set[int] = (
            set()
        )  # source numbers of left-out packets in whose place an empty one went out
        self.former: Former | None = None  # the layer before this one
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
        self.template = _CLOSED
        self.frame_offset = 0  # added to the frame numbers of dependency descriptors
        self.last_frame = 0  # the latest frame number sent
        self.downlink: Downlink | None = None  # where packets are numbered transport-wide
        self.granted = 99  # the allocator's last choice
        self.paused = False  # by the allocator, for want of bandwidth
        self.judged_at = 0.0  # when the allocator last changed its mind about that
        self.recorder: Recorder | None = None
        self.serial = 0  # under which the recorder knows this slot

    def open(
        self,
        context: Any,
        address: Any,
        ids: ExtensionIds,
        allow_mixed: bool,
        downlink: Downlink | None = None,
    ) -> None:
        """The subscriber is connected: from now on this outlet can send.

        `ids` are what was negotiated on its m-line; packets are numbered transport-wide where that is among them and
        there is a `downlink` to note them.
        """
        self.context = context
        self.address = address
        self.downlink = downlink if ids.transport_cc else None
        self.takes_descriptor = ids.descriptor > 0
        kept = replace(
            ids, rid=0, repaired_rid=0, transport_cc=ids.transport_cc if downlink is not None else 0
        )
        self.template = template_of(kept, self.mid, allow_mixed)

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
            self.track.unsubscribe(self, now)
            self.track = None
            self.wait(now)

    @property
    def waiting(self) -> bool:
        """Nothing is forwarded before there is something a decoder can start with."""
        return self.stream is None

    @property
    def undecodable(self) -> str:
        """The codec of the source, if the client did not accept any variant that could carry it."""
        target = self.target
        refused = target is not None and target.codec.among(self.payload_types) is None
        return target.codec.name if target is not None and refused else ""

    def note(self, kind: Recorded, now: float, a: int = 0, b: int = 0, c: int = 0) -> None:
        """Tell the flight recorder, where there is one."""
        if self.recorder is not None:
            self.recorder.event(kind, self.serial, now, a, b, c)

    def wait(self, now: float) -> None:
        """Hold everything back until there is something a decoder can start with: any audio packet, a keyframe."""
        if self.stream is not None:
            if self.stream is not self.target:
                self.stream.drop(self)
            self.stream = None
            self.paused_at = now
            self.note(Recorded.WAITING, now)
            self.resent.clear()
            self.replayed = {}
            self.blanks = set()
            self.former = None

    def has_sent(self, stream: Stream, number: int) -> bool:
        """Whether this source packet is not newer than what was sent of the same stream before."""
        return self._continues(stream) and number <= self.numbers.highest - self.numbers.offset

    def _continues(self, stream: Stream) -> bool:
        return self.source is not None and self.source() is stream

    def begin(
        self,
        stream: Stream,
        source: int,
        timestamp: int,
        payload: bytes,
        now: float,
        extras: Extras | None = None,
    ) -> bool:
        """Start forwarding, or change the layer, at extended number `source`; False if this subscriber cannot take
        the codec. `payload` and `extras` are of the first packet.

        Output sequence numbers continue without a hole; timestamps continue by the time that passed, because
        sources have unrelated timestamp bases. The same source keeps its mapping.
        """
        key = stream.codec.among(self.payload_types)
        if key is None:
            return False
        self.payload_type, self.rtx_payload_type = self.payload_types[key]
        self.unwraps = stream.codec is RED and key != RED.key
        before = self.stream
        if before is not None and before is not stream:
            self.former = Former(self, before)
        if extras is not None and extras.descriptor:
            # Frame numbers go on, or a decoder takes the keyframe of the next person for an old one.
            first = int.from_bytes(extras.descriptor[1:3], "big")
            self.frame_offset = self.last_frame + 1 - first
        if stream.codec is VP8:
            self._continue_pictures(before, payload)
        elif stream.scalable is not None:
            layers, limits = stream.scalable, self._limits_of(stream.scalable)
            self.rewriter = (
                None if layers.everything(*limits) else Selector(layers, *limits, everything=False)
            )
        else:
            self.rewriter = self._renumbered(payload) if stream.codec is RED and not self.unwraps else None
        self.numbers.rebase(source)
        if before is not None and before is not stream:
            offset = self.timestamp_offset + _distance(before, stream, now)
            step = timestamp + offset - self.last_timestamp & 0xFFFFFFFF
            # Later than what was sent, by less than a pause in which nobody switches.
            self.timestamp_offset = (
                offset if 0 < step < 2 * stream.clock_rate else self.last_timestamp + 1 - timestamp
            )
            before.drop(self)
            self.replayed = {}
            self.blanks = set()
        elif not self._continues(stream):
            elapsed = now - self.paused_at if self.packets else 0.0
            self.timestamp_offset = self.last_timestamp + max(1, int(elapsed * stream.clock_rate)) - timestamp
        self.source = ref(stream)
        self.stream = stream
        self.note(Recorded.BEGUN, now, stream.serial, source & 0xFFFFFFFF, self.numbers.highest + 1 & 0xFFFF)
        return True

    def _renumbered(self, payload: bytes) -> Blocks | None:
        """Where the publisher's RED names Opus by another payload type than this subscriber's."""
        opus, _ = self.payload_types[OPUS.key]
        places = headers(payload)
        return Blocks(opus) if places is not None and payload[places[-1]] & 0x7F != opus else None

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

    def limit(self, spatial: int, temporal: int) -> None:
        """Of a stream that has layers inside, send those up to these only (layers.ALL: all of them).

        To be said again every now and then: a layer that only a keyframe leads to is then asked for again.
        """
        self.limits = spatial, temporal
        stream = self.stream
        layers = stream.scalable if stream is not None else None
        if stream is None or layers is None:
            self.limit_temporal(min(temporal, 3))
            return
        limits = self._limits_of(layers)
        selector = self.rewriter
        if not isinstance(selector, Selector):
            if layers.everything(*limits):
                return
            selector = self.rewriter = Selector(layers, *limits, everything=True)
        selector.limit(*limits)
        if selector.needs_keyframe:
            stream.want_keyframe()

    def _limits_of(self, layers: Layers) -> tuple[int, int]:
        """What was asked for, as far as this subscriber can decode it."""
        spatial, temporal = self.limits
        return spatial if self.takes_descriptor or layers.told_apart else 0, temporal

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
        packet = (
            stream.ring.get(self.numbers.highest - self.numbers.offset) if stream.ring is not None else None
        )
        return describe(packet[3]) if packet is not None else None


_CLOSED = Template(ExtensionIds(), "", True)


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
