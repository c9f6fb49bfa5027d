"""What can be told about a peer from outside: presence samples and statistics."""

from __future__ import annotations

from dataclasses import replace

from media.api import PeerStats, PresenceSample, StreamStats
from media.outlet import Outlet
from media.pace import threshold
from media.peer import Peer
from media.quality import quality_of
from media.stream import Stream
from media.svc import Selector
from media.tally import Tally
from media.vp8 import Pictures

TALK_PACKET_SECONDS = 0.02  # Opus packets of 20 ms, what every browser sends


def sample(peer: Peer, now: float, wall_now: float) -> PresenceSample:
    """The peer as seen at monotonic `now`, which is `wall_now` in unix seconds."""
    current = peer.last_packet - peer.joined_at if peer.flowing else 0.0
    return PresenceSample(
        participant_id=peer.participant_id,
        peer_id=peer.peer_id,
        joined_at=peer.joined_wall if peer.flowing else None,
        last_packet_at=wall_now - (now - peer.last_packet) if peer.last_packet else None,
        media_seconds=peer.media_seconds + max(0.0, current),
        talk_seconds=peer.talk_packets * TALK_PACKET_SECONDS,
        rtp_packets=sum(stream.packets for stream in peer.streams.values()),
    )


def watch(peer: Peer, tally: Tally, now: float) -> None:
    """Look whether the peer's pictures stand still; every tenth of a second."""
    for outlet in peer.outlets.values():
        if outlet.kind != "video" or outlet.context is None:
            continue
        source = outlet.stream or outlet.target
        if source is None:
            continue
        limit = threshold(source.pace.average)
        before = outlet.watch.freezes
        frozen = outlet.watch.look(
            outlet.last_timestamp,
            outlet.packets > 0 and not outlet.paused and now - source.pace.at < limit,
            limit,
            now,
        )
        if frozen:
            tally.freeze_seconds_out += frozen
            tally.freezes_out += outlet.watch.freezes - before


def stats(peer: Peer, stalled: float, now: float) -> PeerStats:
    """Every stream of the peer, incoming first, and the judgement on its line; `stalled` is the server's own share."""
    downlink = peer.downlink
    found = PeerStats(
        peer.participant_id,
        peer.peer_id,
        (
            *(_incoming(peer, stream) for stream in peer.streams.values()),
            *(_outgoing(outlet) for outlet in peer.outlets.values()),
        ),
        rtt_seconds=peer.rtt or None,
        silent_seconds=max(0.0, now - peer.last_packet) if peer.last_packet else 0.0,
        queue_seconds=max(0.0, downlink.queue),
        estimate_bps=downlink.estimate if downlink.limited else None,
        stalled=stalled,
    )
    score, cause = quality_of(found)
    return replace(found, score=score, cause=cause)


def _incoming(peer: Peer, stream: Stream) -> StreamStats:
    pace = stream.pace
    return StreamStats(
        direction="in",
        codec=stream.codec.name,
        mid=stream.track.mid,
        kind=stream.track.kind,
        ssrc=stream.ssrc,
        participant_id=peer.participant_id,
        packets=stream.packets,
        bytes=stream.bytes,
        lost=stream.lost,
        jitter_seconds=stream.jitter / stream.clock_rate,
        rtt_seconds=peer.rtt or None,
        nacks=stream.nacks,
        plis=stream.plis,
        bitrate_bps=stream.bitrate.bits_per_second,
        rid=stream.rid,
        loss=stream.loss,
        height=stream.height,
        best_height=stream.height,
        frames=pace.frames,
        frame_rate=1 / pace.average if pace.average > 0 else 0.0,
        freezes=pace.freezes,
        freeze_seconds=pace.freeze_seconds,
        frozen=stream.frozen.share,
    )


def _outgoing(outlet: Outlet) -> StreamStats:
    stream = outlet.stream
    best = max((s.height for s in outlet.track.streams), default=0) if outlet.track is not None else 0
    average = stream.pace.average if stream is not None else 0.0
    height = stream.height if stream is not None else 0
    spatial = temporal = -1
    match outlet.rewriter:
        case Pictures() as pictures if pictures.limit < 3:
            temporal = pictures.limit
        case Selector() as selector:
            spatial, temporal, height = selector.spatial, selector.temporal, selector.height or height
    return StreamStats(
        direction="out",
        codec=stream.codec.name if stream is not None else "",
        undecodable=outlet.undecodable,
        mid=outlet.mid,
        kind=outlet.kind,
        ssrc=outlet.ssrc,
        participant_id=outlet.track.participant_id if outlet.track is not None else None,
        packets=outlet.packets,
        bytes=outlet.octets,
        lost=outlet.lost,
        jitter_seconds=outlet.jitter / (48000 if outlet.kind == "audio" else 90000),
        rtt_seconds=outlet.rtt,
        nacks=outlet.nacks,
        plis=outlet.plis,
        bitrate_bps=outlet.bitrate.bits_per_second,
        rid=stream.rid if stream is not None else "",
        loss=outlet.loss,
        retransmitted=outlet.retransmitted,
        height=height,
        best_height=best if outlet.wanted is None else min(best, outlet.wanted),
        spatial=spatial,
        temporal=temporal,
        frame_rate=1 / average if average > 0 else 0.0,
        freezes=outlet.watch.freezes,
        freeze_seconds=outlet.watch.freeze_seconds,
        frozen=outlet.frozen.share,
        paused=outlet.paused,
    )
