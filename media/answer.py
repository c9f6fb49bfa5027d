"""What we accept of an offer, and the answer that says so: pure functions from offer to plan to text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass, field

from media.api import Kind, MediaConfig, OfferError
from media.codec import RED, ForwardedCodec, ranked, recognise
from media.rtp import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    DESCRIPTOR,
    MID,
    ORIENTATION,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    ExtensionIds,
)
from media.sdp import Offer, OfferedCodec, OfferedSection

PROTOCOLS = ("UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "UDP/TLS/RTP/SAVP")
MAX_LAYERS = 4  # rids of one m-line; browsers offer three
MAX_EXTENSION_ID = 255  # of the two-byte form (RFC 8285 section 4.3)
_UDP_PREFERENCE = 126  # of host candidates (RFC 8445 section 5.1.2.2)
_TCP_PREFERENCE = 90  # as Chromium ranks its own; below its peer-reflexive UDP candidates (110)
_PASSIVE = 4  # RFC 6544 section 4.2
_FEEDBACK = ("transport-cc", "ccm fir", "nack", "nack pli")
_DATA = "UDP/DTLS/SCTP"  # RFC 8841; data over DTLS over TCP candidates is negotiated the same way
_DATA_FORMAT = "webrtc-datachannel"
SCTP_PORT = 5000  # inside the DTLS association: any number does
_MIRROR = {"sendonly": "recvonly", "recvonly": "sendonly", "sendrecv": "sendrecv", "inactive": "inactive"}


@dataclass(frozen=True, slots=True)
class AcceptedCodec:
    """A codec of ours under the client's payload type; `rtx` is its RTX payload type or 0."""

    codec: ForwardedCodec
    offered: OfferedCodec
    rtx: int
    rtx_parameters: str


@dataclass(slots=True)
class AcceptedSection:
    """One m-line of the answer. `codecs` is empty when it is rejected."""

    offered: OfferedSection
    codecs: list[AcceptedCodec] = field(default_factory=list)
    extensions: list[tuple[int, str]] = field(default_factory=list)
    rids: tuple[str, ...] = ()  # accepted layers
    ordinal: int = -1  # among the m-lines on which the client sends this kind
    slot_index: int = -1  # among the m-lines on which it receives this kind
    data: bool = False  # data channels

    @property
    def kind(self) -> Kind:
        return "audio" if self.offered.kind == "audio" else "video"

    @property
    def accepted(self) -> bool:
        return bool(self.codecs) or self.data


@dataclass(slots=True)
class Plan:
    """Everything an offer means for the media plane."""

    offer: Offer
    sections: list[AcceptedSection]
    extension_ids: ExtensionIds

    @property
    def data(self) -> OfferedSection | None:
        """The m-line of the data channels, if they were offered."""
        return next((s.offered for s in self.sections if s.data), None)

    def expect_whole(self) -> None:
        """Raises OfferError("no_common_codec") if an m-line that sends was left out: half a broadcast misleads."""
        for section in self.sections:
            if section.offered.sends and not section.offered.rejected and not section.accepted:
                raise OfferError(
                    "no_common_codec",
                    f"m-line {section.offered.mid!r} has no codec in common with this server",
                )

    def payload_types(self) -> dict[int, ForwardedCodec]:
        """What the client's media payload types mean (the same in the whole bundle, RFC 8843 section 10.1.2)."""
        return {c.offered.payload_type: c.codec for s in self.sections for c in s.codecs}

    def ids_of(self, mid: str) -> ExtensionIds:
        """What was accepted on one m-line."""
        return next(
            ExtensionIds.of({uri: number for number, uri in s.extensions})
            for s in self.sections
            if s.offered.mid == mid
        )

    def repair_types(self) -> dict[int, int]:
        """From RTX payload type to the media payload type it repairs."""
        return {c.rtx: c.offered.payload_type for s in self.sections for c in s.codecs if c.rtx}


def plan(
    offer: Offer, config: MediaConfig, viewers: Mapping[Kind, Collection[Container[str]]] | None = None
) -> Plan:
    """Decide what of the offer is accepted. Raises OfferError; makes nothing.

    `viewers`: by kind, the keys of the codec variants that each of the others in the room can be sent; the client is
    asked to prefer what all of them understand.
    """
    others = viewers or {}
    sections = [
        _accept(section, others.get("audio" if section.kind == "audio" else "video", ()))
        for section in offer.sections
    ]
    accepted = [s for s in sections if s.codecs]
    if not accepted:
        raise OfferError("no_common_codec", "no m-line has a codec in common (opus; VP8, H264, VP9, AV1)")
    tracks = slots = 0
    counts: dict[tuple[str, bool], int] = {}
    identifiers: dict[str, int] = {}
    for section in accepted:
        offered = section.offered
        if not offered.rtcp_mux:
            raise OfferError("no_rtcp_mux", f"m-line {offered.mid!r} lacks a=rtcp-mux")
        if offered.sends and not _told_apart(section, accepted):
            raise OfferError(
                "no_mid_extension",
                f"packets of m-line {offered.mid!r} could be another one's: it lacks the sdes:mid header extension,"
                " a=ssrc lines and a payload type of its own",
            )
        for number, uri in section.extensions:
            if identifiers.setdefault(uri, number) != number:
                raise OfferError("bad_sdp", "an extension has two ids in one bundle (RFC 8843 section 10.2)")
        if offered.sends:
            tracks += 1
            section.ordinal = counts.get((offered.kind, True), 0)
            counts[offered.kind, True] = section.ordinal + 1
        if offered.receives:
            slots += 1
            section.slot_index = counts.get((offered.kind, False), 0)
            counts[offered.kind, False] = section.slot_index + 1
    if tracks > config.max_tracks_per_peer:
        raise OfferError("too_many_streams", f"more than {config.max_tracks_per_peer} m-lines that send")
    if slots > config.max_slots_per_peer:
        raise OfferError("too_many_streams", f"more than {config.max_slots_per_peer} m-lines that receive")
    if config.max_data_channels:
        data = next((s for s in sections if _offers_data(s.offered)), None)
        if data is not None:
            data.data = True  # one association in one bundle; a second m-line is rejected
    result = Plan(offer, sections, ExtensionIds.of(identifiers))
    meanings: dict[int, str] = {}
    for section in accepted:
        for codec in section.codecs:
            for number, name in ((codec.offered.payload_type, codec.codec.key), (codec.rtx, "rtx")):
                if number and meanings.setdefault(number, name) != name:
                    raise OfferError("bad_sdp", "a payload type has two meanings in one bundle")
    return result


def _told_apart(section: AcceptedSection, accepted: list[AcceptedSection]) -> bool:
    """Whether a packet says which m-line it belongs to (RFC 8843 section 9.2): by mid, by a known SSRC, or by a payload
    type that no other m-line sends. Encoders (OBS, ffmpeg, GStreamer) have no mid, and one m-line of each kind."""
    if MID in (uri for _, uri in section.extensions) or section.offered.ssrcs:
        return True
    types = {number for c in section.codecs for number in (c.offered.payload_type, c.rtx) if number}
    return not any(
        {c.offered.payload_type, c.rtx} & types
        for other in accepted
        if other is not section and other.offered.sends
        for c in other.codecs
    )


def _codecs(offered: OfferedSection, viewers: Collection[Container[str]]) -> list[AcceptedCodec]:
    """Every payload type we forward. On a line that sends, in the order in which the client shall prefer them."""
    found: list[AcceptedCodec] = []
    repairs = {c.parameter("apt"): c for c in offered.codecs if c.name == "rtx"}
    for candidate in offered.codecs:
        codec = recognise(candidate.name, candidate.clock_rate, candidate.parameter)
        if codec is None or codec.kind != offered.kind:
            continue
        repair = repairs.get(str(candidate.payload_type))
        found.append(
            AcceptedCodec(codec, candidate, repair.payload_type, repair.parameters)
            if repair is not None
            else AcceptedCodec(codec, candidate, 0, "")
        )
    numbers = {str(c.offered.payload_type) for c in found if c.codec is not RED}
    # What RED carries is named in its parameters by payload type (RFC 2198 section 5).
    found = [c for c in found if c.codec is not RED or set(c.offered.parameters.split("/")) <= numbers]
    if not offered.sends:
        return found
    return [found[place] for place in ranked([c.codec for c in found], viewers)]


def _accept(offered: OfferedSection, viewers: Collection[Container[str]]) -> AcceptedSection:
    section = AcceptedSection(offered)
    if offered.rejected or offered.kind not in ("audio", "video") or offered.protocol not in PROTOCOLS:
        return section
    section.codecs = _codecs(offered, viewers)
    section.extensions = _extensions(offered)
    if offered.sends and offered.rids:
        section.rids = tuple(offered.rids[:MAX_LAYERS])
    return section


def _offers_data(offered: OfferedSection) -> bool:
    return (
        offered.kind == "application"
        and offered.protocol == _DATA
        and _DATA_FORMAT in offered.formats
        and offered.sctp_port > 0
        and not offered.rejected
    )


def _extensions(offered: OfferedSection) -> list[tuple[int, str]]:
    """The (id, URI) we take of one m-line; what we do not know is left out, and dropped from packets."""
    wanted = [MID, TRANSPORT_CC]  # on receive slots it makes the client report to us
    if offered.kind == "audio":
        wanted.append(AUDIO_LEVEL)
    else:
        wanted += [ORIENTATION, PLAYOUT_DELAY, DESCRIPTOR]
    if offered.sends:
        wanted += [RID, REPAIRED_RID]
    if offered.receives and TRANSPORT_CC not in offered.extensions:
        # Only the receiver's own estimate (REMB) reads it. Who reports transport-wide numbers makes no such
        # estimate: four octets of every packet, and a write, for nothing.
        wanted.append(ABS_SEND_TIME)
    return [
        (number, uri)
        for uri, number in offered.extensions.items()
        if uri in wanted and 1 <= number <= MAX_EXTENSION_ID
    ]


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our side of the bundle: ICE credentials, fingerprint (SHA-256), addresses and port (UDP, and TCP if `tcp`)."""

    ice_ufrag: str
    ice_password: str
    fingerprint: str
    addresses: tuple[str, ...]
    port: int
    tcp: bool = False
    max_message_bytes: int = 0  # of data channels

    def lines(self, connection: str, mid: str, setup: str) -> list[str]:
        """What every accepted m-line says of it."""
        return [
            f"c={connection}",
            f"a=mid:{mid}",
            f"a=ice-ufrag:{self.ice_ufrag}",
            f"a=ice-pwd:{self.ice_password}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            f"a=setup:{setup}",
            *self.candidates(),
            "a=end-of-candidates",
        ]

    def candidates(self) -> list[str]:
        """Host candidates in the order of `addresses`, each over UDP and then each over TCP.

        Priorities after RFC 8445 section 5.1.2.1: type preference, 16 bits of local preference, component 1. A lower
        type preference puts every TCP candidate behind every UDP one (RFC 6544 section 4.2), whose local preference
        begins with the direction: 4 for a passive host candidate, so that addresses have 13 bits.
        """
        lines = []
        for place, address in enumerate(self.addresses):
            priority = _UDP_PREFERENCE << 24 | (65535 - place) << 8 | 255
            lines.append(f"a=candidate:{place + 1} 1 udp {priority} {address} {self.port} typ host")
        if self.tcp:
            for place, address in enumerate(self.addresses, len(lines)):
                preference = _PASSIVE << 13 | 8191 - place
                priority = _TCP_PREFERENCE << 24 | preference << 8 | 255
                lines.append(
                    f"a=candidate:{place + 1} 1 tcp {priority} {address} {self.port} typ host tcptype passive"
                )
        return lines


def write_answer(
    decided: Plan,
    local: LocalTransport,
    session_id: int,
    version: int,
    ssrcs_of: Callable[[str], tuple[int, int] | None],
) -> str:
    """The answer as SDP text. `ssrcs_of(mid)` are the (media, RTX) SSRCs of a receive slot."""
    address = local.addresses[0]
    family = "IP6" if ":" in address else "IP4"
    accepted = [s.offered.mid for s in decided.sections if s.accepted]
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN {family} {address}",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(accepted)}",
        "a=ice-lite",
        "a=msid-semantic: WMS *",
    ]
    if decided.offer.allow_mixed:
        lines.append("a=extmap-allow-mixed")
    for section in decided.sections:
        setup = "active" if decided.offer.answers_dtls else "passive"
        connection = f"IN {family} {address}"
        if section.data:
            lines.append(f"m=application {local.port} {_DATA} {_DATA_FORMAT}")
            lines += local.lines(connection, section.offered.mid, setup)
            lines.append(f"a=sctp-port:{SCTP_PORT}")
            lines.append(f"a=max-message-size:{local.max_message_bytes}")
        elif section.accepted:
            lines += _accepted_lines(section, local, setup, connection, ssrcs_of(section.offered.mid))
        else:
            offered = section.offered
            lines += [
                f"m={offered.kind} 0 {offered.protocol} {' '.join(offered.formats)}",
                "c=IN IP4 0.0.0.0",
                f"a=mid:{offered.mid}",
                "a=inactive",
            ]
    return "\r\n".join(lines) + "\r\n"


def _accepted_lines(
    section: AcceptedSection,
    local: LocalTransport,
    setup: str,
    connection: str,
    ssrcs: tuple[int, int] | None,
) -> list[str]:
    offered = section.offered
    formats: list[str] = []
    for codec in section.codecs:
        formats.append(str(codec.offered.payload_type))
        if codec.rtx:
            formats.append(str(codec.rtx))
    lines = [
        f"m={offered.kind} {local.port} {offered.protocol} {' '.join(formats)}",
        *local.lines(connection, offered.mid, setup),
        f"a={_MIRROR[offered.direction]}",
        "a=rtcp-mux",
    ]
    if offered.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    lines += [f"a=extmap:{number} {uri}" for number, uri in section.extensions]
    for codec in section.codecs:
        lines += _codec_lines(codec, offered)
    if section.rids:
        lines += [f"a=rid:{rid} recv" for rid in section.rids]
        lines.append(f"a=simulcast:recv {';'.join(section.rids)}")
    if section.slot_index >= 0 and ssrcs is not None:
        # Slots of one index show one person: the same stream id, so that the browser keeps lips and sound together.
        # The ssrc lines are for clients that cannot demultiplex by mid.
        stream, media, repair = f"slot-{section.slot_index}", *ssrcs
        lines.append(f"a=msid:{stream} {stream}-{offered.kind}")
        repaired = any(codec.rtx for codec in section.codecs)
        if repaired:
            lines.append(f"a=ssrc-group:FID {media} {repair}")
        for ssrc in (media, repair) if repaired else (media,):
            lines.append(f"a=ssrc:{ssrc} cname:{stream}")
            lines.append(f"a=ssrc:{ssrc} msid:{stream} {stream}-{offered.kind}")
    return lines


def _codec_lines(codec: AcceptedCodec, section: OfferedSection) -> list[str]:
    offered = codec.offered
    number = offered.payload_type
    # The name as the registry writes it: opus in lower case, VP8 and H264 in upper case.
    name = offered.name if section.kind == "audio" else offered.name.upper()
    channels = f"/{offered.channels}" if offered.channels > 1 else ""
    lines = [f"a=rtpmap:{number} {name}/{offered.clock_rate}{channels}"]
    for feedback in _FEEDBACK:
        if feedback in offered.feedback:
            lines.append(f"a=rtcp-fb:{number} {feedback}")
    if "goog-remb" in offered.feedback and "transport-cc" not in offered.feedback:
        lines.append(
            f"a=rtcp-fb:{number} goog-remb"
        )  # its own estimate of what it can take, where it has no other
    if offered.parameters:
        lines.append(f"a=fmtp:{number} {offered.parameters}")
    if codec.rtx:
        lines.append(f"a=rtpmap:{codec.rtx} rtx/{offered.clock_rate}")
        lines.append(f"a=fmtp:{codec.rtx} {codec.rtx_parameters}")
    return lines
