"""What comes in: a publisher's tracks and their streams, as the hot path reads and writes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from media.api import Kind, Source
from media.codec import ForwardedCodec
from media.dynacast import Announced
from media.layered import Layers
from media.layers import alive, best_first, inner_limit, pick
from media.nack import MissingPackets
from media.pace import Pace, Recent
from media.recorder import Kind as Recorded
from media.replay import Opening
from media.ring import PacketRing
from media.rtp import Extras

if TYPE_CHECKING:
    from media.outlet import Outlet

# One received packet on its way: extended number, timestamp, marker (0x80 or 0), plain payload without padding, what
# its extensions say to subscribers (None: nothing), arrival. A tuple, because making one costs a tenth of an object
# with names. Queue, ring and cached keyframe share it.
Packet = tuple[int, int, int, bytes, Extras | None, float]


ASSUMED_RTT = 0.05  # seconds, of a subscriber who has not reported yet
# A loss is seen at the next packet (a frame later, 33 ms), and browsers collect NACKs for up to 20 ms: so long, with
# as much again for a second try, on top of the round trips.
ASKING_SECONDS = 0.15
LEAST_RING_OCTETS = 64_000  # a keyframe and some frames more
RING_SECONDS = ASKING_SECONDS + 2 * ASSUMED_RTT  # before anybody has reported


class Track:
    """One m-line on which a client sends: one stream, or with simulcast one for each layer.

    `key` names the source across reconnects: (participant, position among the tracks of its kind).
    """

    __slots__ = (
        "announced", "held", "key", "kind", "layers", "mid", "outlets", "participant_id", "rids", "source", "streams",
    )  # fmt: skip

    def __init__(
        self, participant_id: str, mid: str, kind: Kind, ordinal: int, rids: tuple[str, ...]
    ) -> None:
        self.participant_id = participant_id
        self.mid = mid
        self.kind = kind
        self.rids = rids  # the accepted layers; empty without simulcast
        self.source: Source = "camera" if kind == "video" else "microphone"
        self.announced = Announced(rids)
        self.held = False  # not forwarded to anybody: others in the room are more worth hearing (room.hush)
        self.key = (participant_id, ordinal)
        self.layers: dict[str, Stream] = {}  # by rid, "" without simulcast
        self.streams: tuple[Stream, ...] = ()  # the same, best first
        self.outlets: tuple[Outlet, ...] = ()

    def subscribe(self, outlet: Outlet, now: float) -> None:
        """Copy-on-write, here and below: the fan-out loop may be walking the old tuple."""
        self.outlets = (*self.outlets, outlet)
        self.choose(outlet, now)

    def unsubscribe(self, outlet: Outlet, now: float) -> None:
        """The outlet gets nothing more from here."""
        self.outlets = tuple(o for o in self.outlets if o is not outlet)
        outlet.target = None
        outlet.note(Recorded.TARGET, now)
        for stream in self.streams:
            stream.drop(outlet)

    def add(self, stream: Stream, now: float) -> None:
        """A first packet, or a known SSRC with another codec: this layer is now carried by `stream`."""
        self.remove(stream, now)
        self.layers[stream.rid] = stream
        stream.watched = self.held
        self._changed(now)

    def remove(self, stream: Stream, now: float) -> None:
        """Nothing carries this layer any more; who was watching it waits for the keyframe of another one."""
        if self.layers.get(stream.rid) is not stream:
            return
        del self.layers[stream.rid]
        stream.outlets = ()
        for outlet in self.outlets:
            if outlet.stream is stream:
                outlet.wait(now)
            if outlet.former is not None and outlet.former.stream is stream:
                outlet.former = None
            if outlet.target is stream:
                outlet.target = None
                outlet.note(Recorded.TARGET, now)
        self._changed(now)

    def sort(self, now: float) -> None:
        """A height has become known."""
        self._changed(now)

    def expect(self, rids: Sequence[str], now: float) -> None:
        """The publisher is asked to send these layers again: be ready for the keyframe with which they begin."""
        streams = [self.layers[rid] for rid in rids if rid in self.layers]
        for stream in streams:
            stream.alive_at = now
        if streams:
            for outlet in self.outlets:
                self.choose(outlet, now)

    def choose(self, outlet: Outlet, now: float) -> None:
        """The layer an outlet wants, among those that live and that its allocation allows."""
        if self.held:
            self.aim(outlet, None, now)
            return
        streams = alive(self.streams, now)
        if outlet.allowed is not None:
            streams = tuple(s for s in streams if s in outlet.allowed)
        target = pick(streams, outlet.wanted)
        self.aim(outlet, target, now)
        if target is not None and target.scalable is not None and outlet.allowed is None:
            outlet.limit(*inner_limit(target, outlet.wanted))

    def aim(self, outlet: Outlet, target: Stream | None, now: float) -> None:
        """Send `target` from its next keyframe on, and until then what is sent now; None: send nothing."""
        before = outlet.target
        if target is None:
            outlet.wait(now)
        if target is before:
            return
        outlet.target = target
        outlet.note(Recorded.TARGET, now, target.serial if target is not None else 0)
        if before is not None and outlet.stream is not before:
            before.drop(outlet)
        if target is not None and outlet.stream is not target:
            target.outlets = (*target.outlets, outlet)
            target.want_keyframe()

    def _changed(self, now: float) -> None:
        self.streams = best_first(list(self.layers.values()), self.rids)
        for outlet in self.outlets:
            self.choose(outlet, now)


class Stream:
    """One incoming SSRC with its reception statistics (RFC 3550 appendix A). Times are monotonic seconds."""

    __slots__ = (
        "__weakref__",
        "alarm",
        "alive_at",
        "alive_packets",
        "base",
        "bitrate",
        "bytes",
        "clock_rate",
        "codec",
        "expected_before",
        "frame",
        "frozen",
        "height",
        "highest",
        "is_video",
        "jitter",
        "keyframe_at",
        "keyframe_wanted",
        "loss",
        "loudness",
        "missing",
        "nacks",
        "opening",
        "outlets",
        "pace",
        "packets",
        "payload_type",
        "plis",
        "queue",
        "received",
        "received_before",
        "report_at",
        "report_ntp",
        "report_timestamp",
        "rid",
        "ring",
        "scalable",
        "serial",
        "ssrc",
        "temporal",
        "track",
        "transit",
        "watched",
    )

    def __init__(
        self,
        track: Track,
        ssrc: int,
        payload_type: int,
        codec: ForwardedCodec,
        ring: PacketRing | None,
        rid: str = "",
        now: float = 0.0,
        alarm: Callable[[], object] = int,
    ) -> None:
        """`alarm` is called whenever something is to be asked of the publisher: lost packets, a keyframe."""
        self.track = track
        self.rid = rid
        self.height = 0  # pixels, from a VP8 keyframe; 0 if unknown
        self.alive_at = now  # when new packets were last noticed, and how many there were then
        self.alive_packets = 0
        self.ssrc = ssrc
        self.serial = 0  # under which the recorder knows it
        self.payload_type = payload_type
        self.codec = codec
        self.clock_rate = codec.clock_rate
        self.is_video = codec.kind == "video"
        self.ring = ring  # of video; None of audio, which is not retransmitted
        # The layers inside, of codecs that may have some.
        self.scalable = Layers(codec.name == "vp9") if codec.scalable else None
        self.loudness = 0  # of sound: decibels above silence, summed over its packets
        self.watched = (
            False  # whether the room is told when this sound is loud, because not everybody hears it
        )
        self.alarm = alarm
        self.missing = MissingPackets(alarm)
        self.outlets: tuple[Outlet, ...] = ()
        self.queue: list[Packet] = []  # received in this batch, not yet forwarded
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
        self.frame = -1  # timestamp of the latest packet
        self.pace = Pace()
        self.frozen = Recent()
        self.loss = 0.0  # share lost lately
        self.opening: Opening | None = None  # the latest keyframe
        self.temporal = False  # VP8 temporal layers are in use: its descriptors carry TL0PICIDX
        self.keyframe_wanted = False
        self.keyframe_at = float("-inf")  # when it was last asked for
        self.nacks = 0
        self.plis = 0
        self.report_ntp = 0  # from the latest sender report; 0 before the first
        self.report_timestamp = 0
        self.report_at = 0.0

    def recode(self, payload_type: int, codec: ForwardedCodec) -> None:
        """The sender has changed the codec."""
        self.payload_type = payload_type
        self.codec = codec
        self.scalable = Layers(codec.name == "vp9") if codec.scalable else None

    def want_keyframe(self) -> None:
        """Somebody cannot show anything before the next keyframe; the feedback tick asks for it."""
        self.keyframe_wanted = self.is_video and bool(self.outlets)
        if self.keyframe_wanted:
            self.alarm()

    def drop(self, outlet: Outlet) -> None:
        """This outlet has no business here any more."""
        if outlet in self.outlets:
            self.outlets = tuple(o for o in self.outlets if o is not outlet)
            if not self.outlets:
                self.keyframe_wanted = False

    def settle(self, cache_seconds: float, ring_seconds: float, ring_octets: int, now: float) -> None:
        """Once a second: forget a keyframe that is too old to be shown, and keep packets only as long as somebody
        may ask for them: two round trips of the farthest subscriber and a little, `ring_seconds` at most. And no more
        than twice what that takes at the present rate: what comes at once after a standstill shall not fill the memory.
        """
        if self.opening is not None and now - self.opening.arrived > cache_seconds:
            self.opening = None
        if self.ring is not None:
            farthest = max((outlet.rtt or ASSUMED_RTT for outlet in self.outlets), default=0.0)
            seconds = self.ring.seconds = min(ring_seconds, ASKING_SECONDS + 2 * farthest)
            usual = int(self.bitrate.bits_per_second / 8 * seconds)
            self.ring.max_octets = min(ring_octets, max(LEAST_RING_OCTETS, 2 * usual))

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
