"""The values that cross the border of the media plane: configuration, events, samples, counters and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Kind = Literal["audio", "video"]
Cause = Literal["uplink", "downlink", "server"]  # what makes a line bad
Source = Literal["camera", "microphone", "screen"]  # what a track shows; a screen's sound is "screen" too


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Everything the SFU can be told. Times are seconds, sizes bytes unless the name says otherwise."""

    host: str = "127.0.0.1"  # "::" listens on IPv4 as well, and on IPv4 alone where there is no IPv6
    port: int = 8081  # one port per process, UDP and TCP; 0 lets the kernel choose (tests)
    # Announced as ICE host candidates, in this order of preference; IPv6 needs host "::" (or an IPv6 address).
    addresses: tuple[str, ...] = ("127.0.0.1",)
    # One DTLS certificate serves all who join in this time; who has joined keeps the one he was told of.
    certificate_seconds: float = 24 * 3600.0

    max_rooms: int = 500
    max_peers_per_room: int = 50
    max_peers: int = 2000

    media_silence_seconds: float = 5.0  # no authenticated RTP/RTCP for so long: the person has left
    ice_timeout_seconds: float = (
        30.0  # no authenticated check, or not connected, for so long: the peer is gone
    )

    max_sdp_bytes: int = 512 * 1024  # a Chromium offer with 34 m-lines is about 90 KB
    max_media_sections: int = 128
    max_tracks_per_peer: int = 8  # m-lines on which the client sends
    max_slots_per_peer: int = 100  # m-lines on which the client receives
    max_ssrcs_per_peer: int = 256  # distinct SSRCs in a peer's whole life, RTX included (libsrtp keeps each)

    # Unauthenticated work. A connectivity check with a known ufrag but a wrong password costs an HMAC (about
    # 60 us); a browser behind a stale page may fail a few times a second, an attacker thousands.
    stun_failures_per_second: float = 20.0
    stun_failures_burst: float = 100.0
    # A packet with a known SSRC from an unknown address costs an SRTP authentication before it may move a peer.
    moves_per_second: float = 20.0
    moves_burst: float = 50.0
    # After a nomination, packets that come late over a path left behind do not move the peer back to it.
    late_path_seconds: float = 2.0
    max_tracked_sources: int = 4096  # source addresses whose failures are remembered; the oldest is forgotten
    # A handshake takes about ten datagrams, retransmissions some more; each may cost a signature.
    dtls_datagrams_per_second: float = 20.0
    dtls_datagrams_burst: float = 60.0
    dtls_queue: int = 32  # datagrams waiting for OpenSSL; when full the newest is dropped (DTLS retransmits)
    max_addresses_per_peer: int = 8  # ICE-validated source addresses per peer; the oldest is forgotten

    # ICE over TCP on the same port number, for networks that block UDP.
    tcp: bool = True
    tcp_connections: int = 2048  # in all; a peer holds max_addresses_per_peer at most
    tcp_strangers_per_source: int = (
        32  # without an authenticated check yet: a school behind one NAT is one source
    )
    tcp_stranger_seconds: float = 10.0  # until the first authenticated check, else the connection is closed
    # What may wait for a slow reader: media up to the first (a third of a second at 3 Mb/s; a large keyframe), then
    # they are left out; what must arrive (STUN, DTLS, RTCP) up to the second, then the connection is closed.
    tcp_media_bytes: int = 128 * 1024
    tcp_queue_bytes: int = 256 * 1024

    # Of authenticated RTP and RTCP from one peer. Three simulcast layers and a sharp screen are about 1,700 packets a
    # second; what is more is dropped before it is decrypted, so that one client cannot take the others' time.
    receive_packets_per_second: float = 3000.0
    receive_packets_burst: int = 3000
    receive_buffer_bytes: int = 4 * 1024 * 1024  # asked of the kernel, which may grant less (see Counters)
    send_buffer_bytes: int = 4 * 1024 * 1024
    batch_datagrams: int = 128  # per wake-up, so that sockets and timers are not starved
    # Between reads under traffic, three times as much under load (wakeup.py); 0 reads at every wake-up.
    coalesce_seconds: float = 0.001
    segmentation: bool = True  # UDP segmentation offload for bursts, where kernel and path allow it
    # Estimate each subscriber's line, choose layers that fit it and pause video that does not.
    adapt_downlink: bool = True
    loudest: int = 6  # sources of sound forwarded in a room of three or more people; 0: all of them
    # Kept of each video stream for retransmission, at most: two round trips of the farthest subscriber and 150 ms, in
    # which he can ask twice (media.stream.Stream.settle); a jitter buffer that waits longer has asked for a keyframe.
    # At 1.2 Mb/s 0.25 s are 45 KB. The other two bound what is faster.
    ring_seconds: float = 0.8
    ring_octets: int = 400_000
    ring_packets: int = 512  # a power of two

    # A new subscriber is shown the latest keyframe at once if it is no older than this: a still from long ago may
    # show what is no longer meant to be seen.
    keyframe_cache_seconds: float = 10.0
    keyframe_interval_seconds: float = (
        0.5  # at most one PLI per stream in this time, repeated until a keyframe
    )
    feedback_seconds: float = 0.1  # transport-wide feedback to publishers
    report_seconds: float = 1.0  # sender and receiver reports
    # Data channels: messages go to whoever in the room has a channel of the same label.
    max_data_channels: int = 16  # of one peer; 0 refuses data channels altogether
    max_data_message_bytes: int = 16 * 1024
    data_deliveries_per_second: float = 500.0  # a message to nine others is nine of them
    data_deliveries_burst: float = 500.0
    data_bytes_per_second: float = 256 * 1024.0  # from one peer
    data_bytes_burst: float = 256 * 1024.0
    data_buffer_bytes: int = (
        256 * 1024
    )  # waiting for one reader; what comes then is not sent to him, and counted
    data_datagrams_per_second: float = (
        300.0  # DTLS datagrams of a peer with data channels, acknowledgements included
    )
    data_datagrams_burst: float = 600.0
    # The flight recorder: 24 bytes for each received packet and each decision, so about a minute of ten rooms of two
    # with video; 0 switches it off.
    recorder_bytes: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Converse:
    """Send and receive; the receive slots show everybody else in the room."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Only send (WHIP). An m-line that cannot be taken refuses the whole offer (RFC 9725 section 4.4.3)."""


@dataclass(frozen=True, slots=True)
class Follow:
    """Only receive (WHEP): this participant, also oneself, or with None whoever speaks or last spoke of the others."""

    participant_id: str | None = None


Purpose = Converse | Publish | Follow


class LeaveReason(StrEnum):
    """Why a peer is no longer (or for now not) in its room."""

    LEFT = "left"
    DTLS_CLOSE = "dtls_close"
    ICE_TIMEOUT = "ice_timeout"
    MEDIA_SILENCE = "media_silence"
    REPLACED = "replaced"
    SERVER_STOP = "server_stop"


@dataclass(frozen=True, slots=True)
class Slot:
    """One receive m-line of a client and who is shown in it (None: nobody)."""

    mid: str
    kind: Kind
    participant_id: str | None
    source: Source | None = None  # which of the participant's
    undecodable: str = ""  # the codec of the source, if the client cannot decode it: nothing is shown


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """DTLS is connected and the first authenticated RTP packet arrived at `at` (unix seconds)."""

    room_id: str
    participant_id: str
    peer_id: str
    at: float


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """Packets stopped at `at` (unix seconds). Comes only after a PeerJoined, and may be followed by another one."""

    room_id: str
    participant_id: str
    peer_id: str
    at: float
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer's resources are freed; nothing more will come from this peer_id until it joins again."""

    room_id: str
    participant_id: str
    peer_id: str
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """Who is shown where, for all receive slots of one peer, in the order of its offer."""

    room_id: str
    peer_id: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class SlotPaused:
    """Whether the video of receive slot `mid` is held back because the peer's line is too narrow for it."""

    room_id: str
    peer_id: str
    mid: str
    paused: bool


@dataclass(frozen=True, slots=True)
class SpeakerChanged:
    """Who speaks in a room now (None: nobody)."""

    room_id: str
    participant_id: str | None
    peer_id: str | None


@dataclass(frozen=True, slots=True)
class LayersWanted:
    """Which layers of the video that a peer sends on m-line `mid` somebody wants, or may fall back to; best first.

    A track without layers has the one layer "". Empty: nobody wants the track. Before the first such event all are
    wanted. A layer is told off when nobody has wanted it for two seconds, and on at once.
    """

    room_id: str
    peer_id: str
    mid: str
    rids: tuple[str, ...]


MediaEvent = PeerJoined | PeerLeft | PeerClosed | SlotsChanged | SlotPaused | SpeakerChanged | LayersWanted


@dataclass(frozen=True, slots=True)
class PresenceSample:
    """One peer as the media saw it up to now; instants are unix seconds, durations seconds.

    `joined_at` is None while the peer is not present; `media_seconds` sums all its stays, `talk_seconds` counts
    20 ms for each audio packet at or above -45 dBov (RFC 6464). `rtp_packets` counts what carried sound or picture, so
    that who only listens can be told from who speaks; None where nobody has counted.
    """

    participant_id: str
    peer_id: str
    joined_at: float | None
    last_packet_at: float | None
    media_seconds: float
    talk_seconds: float
    rtp_packets: int | None = None


# Upper edges of the forward-delay histogram in seconds; the last bucket is everything above.
DELAY_EDGES: tuple[float, ...] = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the start, and gauges of now. `delay_counts` has one more entry than DELAY_EDGES."""

    packets_in: int
    packets_out: int
    bytes_in: int
    bytes_out: int
    drops: dict[str, int]
    rooms: int
    peers: int
    delay_counts: tuple[int, ...]
    delay_sum_seconds: float
    receive_buffer_bytes: int  # what the kernel granted
    tcp_connections: int = 0
    freezes_in: int = 0  # pictures that came to the server too late, or towards which packets were lost
    freezes_out: int = 0  # receive slots that stood still although their source did not
    freeze_seconds_in: float = 0.0
    freeze_seconds_out: float = 0.0
    stalls: int = 0  # times the server itself was late
    stall_seconds: float = 0.0
    data_messages: int = 0  # of data channels, delivered: one to nine others counts nine
    quality_counts: tuple[int, ...] = (0, 0, 0, 0, 0)  # peers looked at by `peer_stats`, by score 1 to 5


@dataclass(frozen=True, slots=True)
class StreamStats:
    """One RTP stream seen from the SFU: `in` from the client, `out` towards it."""

    direction: Literal["in", "out"]
    mid: str
    kind: Kind
    ssrc: int
    participant_id: str | None  # whose media it is
    packets: int
    bytes: int
    lost: int
    jitter_seconds: float
    rtt_seconds: float | None
    nacks: int
    plis: int
    bitrate_bps: float
    rid: str = ""  # the simulcast layer; of an `out` stream the one sent now
    loss: float = 0.0  # share of packets, lately (a few seconds); before repair
    retransmitted: int = 0  # `out`: packets sent again
    height: int = 0  # lines of the picture, 0 if unknown; of an `out` stream that of the layer sent now
    best_height: int = 0  # the most its source has and, `out`, somebody wants
    spatial: int = -1  # layers sent at most, where that is limited; -1: all there are
    temporal: int = -1
    frames: int = 0  # `in`: frames that arrived
    frame_rate: float = 0.0
    freezes: int = 0  # gaps of max(3 x average, average + 150 ms) between frames, as webrtc-stats counts them
    freeze_seconds: float = 0.0  # their sum
    frozen: float = 0.0  # share of time, lately
    undecodable: str = ""  # `out`: the codec of its source, if the client cannot decode it: nothing is shown
    codec: str = ""  # its name in SDP, in lower case; of an `out` stream what its source sends
    paused: bool = False  # `out`: held back because the line is too narrow


@dataclass(frozen=True, slots=True)
class PeerStats:
    """All streams of one peer."""

    participant_id: str
    peer_id: str
    streams: tuple[StreamStats, ...] = field(default_factory=tuple)
    rtt_seconds: float | None = None
    silent_seconds: float = 0.0  # since the last packet of a client that has sent some
    queue_seconds: float = 0.0  # packets wait so long on the way to the client
    estimate_bps: float | None = None  # what its line carries; None as long as nothing has limited it
    stalled: float = 0.0  # share of recent time in which the server was late
    score: int = 5  # quality.quality_of
    cause: Cause | None = None


class MediaError(Exception):
    """Base of everything `media` raises on purpose."""


class OfferError(MediaError):
    """An offer that is refused before any media resource is made.

    Codes: bad_sdp, sdp_too_long, no_media, no_bundle, no_rtcp_mux, no_mid_extension, no_ice, no_fingerprint,
    bad_setup, no_common_codec, too_many_sections, too_many_streams, too_many_restarts,
    no_peer, room_full, server_full, closed.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
