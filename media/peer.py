"""One client's transport and media: its ICE and DTLS state, its tracks and its receive slots."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from media.answer import Plan
from media.api import Converse, Kind, MediaConfig, Purpose, Slot, Source
from media.codec import ForwardedCodec
from media.downlink import Downlink, Standstills
from media.feedback import ArrivalLog
from media.limits import Bucket, Meter
from media.outlet import Outlet
from media.recorder import Recorder
from media.ring import PacketRing
from media.rtp import TRANSPORT_CC, ExtensionIds, ExtensionReader
from media.slots import SlotPlace, SourceKey, assign
from media.stream import RING_SECONDS, Stream, Track
from media.wire import DtlsSession, Identity

if TYPE_CHECKING:
    from media.data import DataLine


class Peer:
    """The state of one peer. Times are monotonic seconds; `order` counts joins in the process.

    What the receive loop reads per packet: receive_context, address, last_packet, flowing, streams, repairs,
    extensions, arrivals, talk_packets, meter.
    """

    __slots__ = (
        "address",
        "addresses",
        "alarm",
        "answer_version",
        "arrivals",
        "checked_at",
        "config",
        "created_at",
        "data",
        "downlink",
        "dtls",
        "dtls_budget",
        "extensions",
        "fingerprints",
        "flowing",
        "identity",
        "joined_at",
        "joined_wall",
        "last_packet",
        "media_seconds",
        "meter",
        "names_of",
        "needed",
        "nominated_at",
        "numbered",
        "offer_session",
        "order",
        "outlets",
        "outlets_by_ssrc",
        "participant_id",
        "password_of",
        "payload_types",
        "peer_id",
        "plan",
        "purpose",
        "receive_context",
        "recorder",
        "remote_ufrag",
        "repair_types",
        "repairs",
        "room_id",
        "rtt",
        "segmentation",
        "send_context",
        "sendto",
        "serial",
        "session_number",
        "shown",
        "shown_sources",
        "sources",
        "ssrc",
        "ssrcs",
        "streams",
        "talk_packets",
        "tracks",
        "undecodable",
    )

    def __init__(
        self,
        room_id: str,
        participant_id: str,
        peer_id: str,
        order: int,
        plan: Plan,
        config: MediaConfig,
        now: float,
        standstills: Standstills | None = None,
        restless: set[Peer] | None = None,
    ) -> None:
        """`restless` is where the peer is put when something is to be asked of it before its next turn."""
        self.room_id = room_id
        self.participant_id = participant_id
        self.peer_id = peer_id
        self.order = order
        self.config = config
        self.ssrc = secrets.randbits(32)  # the sender of our RTCP feedback
        self.session_number = secrets.randbits(62)
        self.answer_version = 0
        self.plan = plan
        self.purpose: Purpose = Converse()
        self.payload_types: dict[int, ForwardedCodec] = {}
        self.repair_types: dict[int, int] = {}

        self.password_of: dict[str, str] = {}  # our ufrag -> password; two during an ICE restart
        self.remote_ufrag = ""
        self.offer_session = ""
        self.fingerprints: tuple[tuple[str, str], ...] = ()
        self.address: Any = None  # where we send to: a socket address, or a way of its own
        self.sendto: Callable[[Any, Any], int] | None = None  # (datagram, address), see Outlet.move
        self.segmentation = True
        self.addresses: dict[Any, None] = {}  # validated by ICE, oldest first
        self.nominated_at = float("-inf")  # when a check last moved the peer
        self.identity: Identity | None = None  # the certificate its answers have announced
        self.checked_at = now  # last authenticated check; the join counts as one
        self.created_at = now  # or the last offer before it connected
        self.dtls: DtlsSession | None = None
        self.data: DataLine | None = None
        self.dtls_budget = Bucket(config.dtls_datagrams_per_second, config.dtls_datagrams_burst, now)
        self.meter = Meter(config.receive_packets_per_second, config.receive_packets_burst, now)
        self.receive_context: Any = None
        self.send_context: Any = None

        self.flowing = False
        self.joined_at = 0.0
        self.joined_wall = 0.0  # the same instant in unix seconds, as announced
        self.last_packet = 0.0  # authenticated RTP or RTCP; 0 before the first
        self.media_seconds = 0.0  # of finished stays
        self.talk_packets = 0

        self.extensions = ExtensionReader(ExtensionIds())
        self.arrivals = ArrivalLog()
        self.tracks: dict[str, Track] = {}  # by mid
        self.streams: dict[int, Stream] = {}  # by SSRC
        self.repairs: dict[int, Stream] = {}  # by RTX SSRC
        self.names_of: dict[
            int, tuple[str, str, str]
        ] = {}  # SSRC -> (mid, rid, repaired rid) as last announced
        self.ssrcs: set[int] = set()  # every SSRC that was ever one of these
        self.outlets: dict[str, Outlet] = {}  # by mid
        self.outlets_by_ssrc: dict[int, Outlet] = {}
        self.numbered: set[str] = set()  # mids of the receive slots with transport-wide numbers
        self.downlink = Downlink(standstills)
        self.alarm: Callable[[], object] = partial((set() if restless is None else restless).add, self)
        self.needed = 0.0  # bits per second of all that is wanted of it
        self.shown: dict[str, SourceKey] = {}  # by mid
        self.undecodable: dict[str, str] = {}  # codec by mid, as last announced
        self.shown_sources: dict[str, Source] = {}  # by mid
        self.sources: dict[
            str, Source
        ] = {}  # by mid, as the client said; also for m-lines that are still to come
        self.recorder: Recorder | None = None
        self.serial = 0  # under which the recorder knows it
        self.rtt = 0.0  # towards this client; 0 until a report tells
        self.apply(plan, now)

    def apply(self, plan: Plan, now: float) -> None:
        """Take over an accepted offer: keep what stays, make what is new, drop what is gone."""
        self.plan = plan
        self.payload_types = plan.payload_types()
        self.repair_types = plan.repair_types()
        self.offer_session = plan.offer.session_id
        self.fingerprints = plan.offer.fingerprints
        self.extensions = ExtensionReader(plan.extension_ids)
        sending = {s.offered.mid: s for s in plan.sections if s.ordinal >= 0}
        receiving = {s.offered.mid: s for s in plan.sections if s.slot_index >= 0}
        for mid in [mid for mid in self.tracks if mid not in sending]:
            self.forget_track(self.tracks.pop(mid), now)
        for mid, section in sending.items():
            if mid not in self.tracks:
                self.tracks[mid] = Track(
                    self.participant_id, mid, section.kind, section.ordinal, section.rids
                )
        self.name_sources({})
        for mid in [mid for mid in self.outlets if mid not in receiving]:
            gone = self.outlets.pop(mid)
            gone.detach(now)
            del self.outlets_by_ssrc[gone.ssrc]
            self.shown.pop(mid, None)
        self.numbered = {
            mid for mid, s in receiving.items() if TRANSPORT_CC in (uri for _, uri in s.extensions)
        }
        for mid, section in receiving.items():
            types: dict[str, tuple[int, int]] = {}
            for c in section.codecs:  # the first of one variant, as the client ordered them
                types.setdefault(c.codec.key, (c.offered.payload_type, c.rtx))
            outlet = self.outlets.get(mid)
            if outlet is not None:
                outlet.payload_types = types
                continue
            outlet = Outlet(
                mid,
                section.kind,
                section.slot_index,
                types,
                (secrets.randbits(32), secrets.randbits(32)),
                (secrets.randbits(15), secrets.randbits(15), secrets.randbits(31)),
            )
            self.outlets[mid] = outlet
            self.outlets_by_ssrc[outlet.ssrc] = outlet
        if self.send_context is not None:
            self.open_outlets()

    def name_sources(self, sources: Mapping[str, Source]) -> bool:
        """What the m-lines of these mids show, from now on; True if that changes a track."""
        known = {**self.sources, **sources}
        self.sources = dict(list(known.items())[-self.config.max_media_sections :])
        changed = False
        for mid, track in self.tracks.items():
            source = self.sources.get(mid, track.source)
            if source != track.source and (
                source == "screen" or (source == "camera") is (track.kind == "video")
            ):
                track.source, changed = source, True
        return changed

    def open_outlets(self) -> None:
        """DTLS is connected: let every outlet that is not open yet send."""
        mixed = self.plan.offer.allow_mixed
        downlink = self.downlink if self.config.adapt_downlink else None
        for outlet in self.outlets.values():
            if outlet.context is None:
                if self.sendto is not None:
                    outlet.move(self.address, self.sendto, self.segmentation)
                outlet.open(self.send_context, self.address, self.plan.ids_of(outlet.mid), mixed, downlink)

    def move(self, address: Any, sendto: Callable[[Any, Any], int], segmentation: bool = True) -> None:
        """Send to another address from now on, by another way perhaps (see Outlet.move)."""
        if self.address is not None and address != self.address:
            self.downlink.moved()
        self.address = address
        self.sendto = sendto
        self.segmentation = segmentation
        for outlet in self.outlets.values():
            outlet.move(address, sendto, segmentation)

    def bind(self, ssrc: int, payload_type: int, names: tuple[str, str, str], now: float) -> str | None:
        """Connect an unknown SSRC (or a known one that changed its payload type) to its track; else the reason."""
        if names[0]:
            if len(self.names_of) < self.config.max_ssrcs_per_peer:
                self.names_of[ssrc] = names
        else:
            # Browsers name a stream until our first report acknowledges it, and not again after a BYE and a pause.
            names = self.names_of.get(ssrc, names)
        mid, rid, repaired_rid = names
        codec = self.payload_types.get(payload_type)
        repaired = self.repair_types.get(payload_type)
        if codec is None and repaired is None:
            return "rtp_unknown_payload_type"
        known = self.streams.get(ssrc)
        track = known.track if known is not None else self._track_of(ssrc, mid, payload_type)
        if track is None:
            return "rtp_unknown_ssrc"
        if ssrc not in self.ssrcs and len(self.ssrcs) >= self.config.max_ssrcs_per_peer:
            return "rtp_too_many_ssrcs"
        if codec is None:
            media = track.layers.get(repaired_rid or rid if track.rids else "")
            if media is None or known is not None:
                return "rtx_without_media"
            self.repairs[ssrc] = media
            self.ssrcs.add(ssrc)
            return None
        if codec.kind != track.kind:
            return "rtp_unknown_payload_type"
        if known is not None:
            known.recode(payload_type, codec)
            if self.recorder is not None:
                self.recorder.stream(self, known)
            track.add(known, now)  # everybody starts anew, with the other codec
            return None
        if not track.rids:
            rid = ""
        elif rid not in track.rids:
            return "rtp_layer_not_accepted" if rid else "rtp_unknown_ssrc"
        former = track.layers.get(rid)
        if former is not None:
            self._forget_stream(former)
            track.remove(former, now)
        config = self.config
        ring = (
            PacketRing(config.ring_packets, min(config.ring_seconds, RING_SECONDS), config.ring_octets)
            if codec.kind == "video"
            else None
        )
        stream = Stream(track, ssrc, payload_type, codec, ring, rid, now, self.alarm)
        self.streams[ssrc] = stream
        self.ssrcs.add(ssrc)
        if self.recorder is not None:
            self.recorder.stream(self, stream)
        track.add(stream, now)
        return None

    def _track_of(self, ssrc: int, mid: str, payload_type: int) -> Track | None:
        if mid:
            return self.tracks.get(mid)
        for section in self.plan.sections:
            if ssrc in section.offered.ssrcs:
                return self.tracks.get(section.offered.mid)
        # A client that announces neither: the payload type decides if only one track can have it.
        fitting = [
            s.offered.mid
            for s in self.plan.sections
            if s.ordinal >= 0 and any(payload_type in (c.offered.payload_type, c.rtx) for c in s.codecs)
        ]
        return self.tracks.get(fitting[0]) if len(fitting) == 1 else None

    def _forget_stream(self, stream: Stream) -> None:
        self.streams.pop(stream.ssrc, None)
        for ssrc in [s for s, repaired in self.repairs.items() if repaired is stream]:
            del self.repairs[ssrc]

    def forget_track(self, track: Track, now: float) -> None:
        """The m-line no longer sends: nobody is subscribed to it any more."""
        for outlet in track.outlets:
            outlet.detach(now)
        for stream in track.streams:
            self._forget_stream(stream)
            track.remove(stream, now)

    def end_stream(self, ssrc: int, now: float) -> None:
        """The client said BYE for this SSRC."""
        stream = self.streams.get(ssrc)
        if stream is not None:
            self._forget_stream(stream)
            stream.track.remove(stream, now)

    def show(self, tracks: dict[Kind, dict[SourceKey, Track]], now: float) -> bool:
        """Fill the receive slots from what the room offers (keys in order of preference); True if anything changed."""
        places = [SlotPlace(o.mid, o.kind, o.index) for o in self.outlets.values()]
        wanted = assign(places, self.shown, {kind: list(keyed) for kind, keyed in tracks.items()})
        before, named = self.shown, self.shown_sources
        self.shown = wanted
        for outlet in self.outlets.values():
            key = wanted.get(outlet.mid)
            track = tracks[outlet.kind][key] if key is not None else None
            if outlet.track is not track:
                outlet.detach(now)
                if track is not None:
                    outlet.attach(track, now)
        self.shown_sources = {o.mid: o.track.source for o in self.outlets.values() if o.track is not None}
        return wanted != before or self.shown_sources != named

    def aim(self, now: float) -> None:
        """Look again which layers are alive, and which of them each subscriber is sent."""
        for track in self.tracks.values():
            if track.rids or any(stream.scalable is not None for stream in track.streams):
                for stream in track.streams:
                    if stream.packets != stream.alive_packets:
                        stream.alive_packets, stream.alive_at = stream.packets, now
                for outlet in track.outlets:
                    track.choose(outlet, now)

    @property
    def sees_video(self) -> bool:
        """Whether there are slots to show a video in."""
        return any(outlet.kind == "video" for outlet in self.outlets.values())

    @property
    def sounds(self) -> bool:
        """Whether sound has come within the last report interval."""
        return any(not s.is_video and s.bitrate.bits_per_second > 0 for s in self.streams.values())

    def slots(self) -> tuple[Slot, ...]:
        """The receive slots in the order of the offer."""
        return tuple(
            Slot(
                o.mid,
                o.kind,
                self.shown[o.mid][0] if o.mid in self.shown else None,
                o.track.source if o.track is not None else None,
                o.undecodable,
            )
            for o in self.outlets.values()
        )

    def release(self, now: float) -> None:
        """Take the peer out of every structure it shares with others; DTLS says goodbye."""
        for outlet in self.outlets.values():
            outlet.detach(now)
            outlet.context = None
        for track in self.tracks.values():
            self.forget_track(track, now)
        self.receive_context = self.send_context = None
        if self.data is not None:
            self.data.close()
        if self.dtls is not None:
            self.dtls.close()
        self.streams.clear()
        self.repairs.clear()
        self.outlets.clear()
        self.outlets_by_ssrc.clear()
        self.tracks.clear()
        self.shown.clear()
