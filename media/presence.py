"""What can be told about a peer from outside: presence samples and statistics."""

from __future__ import annotations

from media.api import PeerStats, PresenceSample, StreamStats
from media.peer import Peer

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
    )


def stats(peer: Peer) -> PeerStats:
    """Every stream of the peer, incoming first."""
    incoming = [
        StreamStats(
            direction="in",
            mid=s.track.mid,
            kind=s.track.kind,
            ssrc=s.ssrc,
            participant_id=peer.participant_id,
            packets=s.packets,
            bytes=s.bytes,
            lost=s.lost,
            jitter_seconds=s.jitter / s.clock_rate,
            rtt_seconds=peer.rtt or None,
            nacks=s.nacks,
            plis=s.plis,
            bitrate_bps=s.bitrate.bits_per_second,
            rid=s.rid,
        )
        for s in peer.streams.values()
    ]
    outgoing = [
        StreamStats(
            direction="out",
            mid=o.mid,
            kind=o.kind,
            ssrc=o.ssrc,
            participant_id=o.track.participant_id if o.track is not None else None,
            packets=o.packets,
            bytes=o.octets,
            lost=o.lost,
            jitter_seconds=o.jitter / (48000 if o.kind == "audio" else 90000),
            rtt_seconds=o.rtt,
            nacks=o.nacks,
            plis=o.plis,
            bitrate_bps=o.bitrate.bits_per_second,
            rid=o.stream.rid if o.stream is not None else "",
        )
        for o in peer.outlets.values()
    ]
    return PeerStats(peer.participant_id, peer.peer_id, (*incoming, *outgoing))
