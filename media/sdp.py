"""Offers read strictly into values: what a client wants to send and receive (RFC 8866, RFC 8829, RFC 8843).

Our own reader, because aiortc's drops what an SFU lives on (rid, simulcast, transport-cc, FIR) and tells a fault
by assertion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from media.api import OfferError

Direction = Literal["sendonly", "recvonly", "sendrecv", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendonly", "recvonly", "sendrecv", "inactive")
_DIRECTION: dict[tuple[bool, bool], Direction] = {
    (True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly", (False, False): "inactive",
}  # fmt: skip
FINGERPRINT_ALGORITHMS = ("sha-256", "sha-384", "sha-512")

_M_LINE = re.compile(r"m=([a-z]{1,16}) ([0-9]{1,5}) ([A-Z/]{1,40}) (.{1,2000})", re.ASCII)
_TOKEN = re.compile(
    r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,16}", re.ASCII
)  # mids and rids that fit an RTP extension
ICE = re.compile(r"[A-Za-z0-9+/]{4,256}", re.ASCII)
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){19,63}", re.ASCII)
_RTPMAP = re.compile(r"([0-9]{1,3}) ([A-Za-z0-9._-]{1,40})/([0-9]{1,6})(?:/([0-9]{1,2}))?", re.ASCII)
_EXTMAP = re.compile(r"([0-9]{1,3})(?:/[a-z]+)? (\S{1,200})(?: .*)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
MAX_FEEDBACK = 32  # kinds of feedback of one codec; browsers offer six
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


@dataclass(slots=True)
class OfferedCodec:
    """One payload type as offered. `parameters` is the fmtp value as written."""

    payload_type: int
    name: str  # lower case
    clock_rate: int
    channels: int
    parameters: str = ""
    feedback: list[str] = field(default_factory=list)

    def parameter(self, name: str) -> str | None:
        """The value of one fmtp parameter, None if it is not there."""
        for item in self.parameters.split(";"):
            key, _, value = item.strip().partition("=")
            if key == name:
                return value
        return None


@dataclass(slots=True)
class OfferedSection:
    """One m-line as offered."""

    kind: str  # audio, video, application, ...
    protocol: str
    formats: list[str]
    rejected: bool
    mid: str = ""
    direction: Direction = "sendrecv"
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    codecs: list[OfferedCodec] = field(default_factory=list)
    extensions: dict[str, int] = field(default_factory=dict)  # URI -> id
    rids: list[str] = field(default_factory=list)  # layers the client would send, in its order
    ssrcs: list[int] = field(default_factory=list)
    sctp_port: int = 0  # of an application m-line; 0 if it offers none
    max_message_bytes: int = 64 * 1024  # what the client takes at once (RFC 8841 section 6.1); 0: anything

    @property
    def sends(self) -> bool:
        """Whether the client wants to send here."""
        return self.direction in ("sendonly", "sendrecv")

    @property
    def receives(self) -> bool:
        """Whether the client wants to receive here."""
        return self.direction in ("recvonly", "sendrecv")


@dataclass(slots=True)
class Offer:
    """A whole offer. ICE and DTLS values are those of the first m-line of the bundle (RFC 8843 section 7.1.3)."""

    session_id: str
    bundle: list[str]
    ice_ufrag: str
    ice_password: str
    fingerprints: tuple[tuple[str, str], ...]
    allow_mixed: bool
    sections: list[OfferedSection]
    answers_dtls: bool = False  # a=setup:passive, as ffmpeg has it: the client waits for our ClientHello


def parse_offer(text: str, max_bytes: int, max_sections: int) -> Offer:
    """Read an offer. Raises OfferError with one of its codes; anything unknown in it is ignored."""
    if len(text) > max_bytes:
        raise OfferError("sdp_too_long", f"the offer has more than {max_bytes} characters")
    groups: list[list[str]] = [[]]
    for line in split_lines(text):
        if line.startswith("m="):
            groups.append([])
            if len(groups) > max_sections + 1:
                raise OfferError("too_many_sections", f"more than {max_sections} m-lines")
        groups[-1].append(line)
    session = groups[0]
    if not session or session[0] != "v=0":
        raise OfferError("bad_sdp", "the offer does not begin with v=0")
    if len(groups) == 1:
        raise OfferError("no_media", "the offer has no m-line")
    sections = [_section(lines) for lines in groups[1:]]
    return _offer(session, groups[1:], sections)


def split_lines(text: str) -> list[str]:
    """The lines of a description that are not empty. Raises OfferError("bad_sdp") for control characters."""
    text = text.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise OfferError("bad_sdp", "the description contains control characters")
    return [line for line in text.split("\n") if line]


def narrow(offer: Offer, *, sends: bool, receives: bool) -> None:
    """Take from every m-line the directions that this client has no business with, whatever it offers.

    Raises OfferError("no_media") if nothing is left.
    """
    for section in offer.sections:
        section.direction = _DIRECTION[section.sends and sends, section.receives and receives]
    if not any(not s.rejected and s.direction != "inactive" for s in offer.sections):
        raise OfferError("no_media", f"no m-line {'sends' if sends else 'receives'} anything")


def _offer(session: list[str], groups: list[list[str]], sections: list[OfferedSection]) -> Offer:
    bundle = next((v.split()[1:] for v in values(session, "group") if v.split()[:1] == ["BUNDLE"]), [])
    if not bundle:
        raise OfferError("no_bundle", "the offer does not bundle its m-lines (a=group:BUNDLE)")
    mids = [s.mid for s in sections]
    if len(set(mids)) != len(mids):
        raise OfferError("bad_sdp", "two m-lines have the same mid")
    for section in sections:
        if not section.rejected and section.mid not in bundle:
            raise OfferError("no_bundle", f"m-line {section.mid!r} is not in the bundle")
    # The first of the bundle that is there: ffmpeg writes "BUNDLE 0 1" whichever of the two it sends.
    by_mid = dict(zip(mids, groups, strict=True))
    own = next((by_mid[mid] for mid in bundle if mid in by_mid), None)
    if own is None:
        raise OfferError("no_bundle", "the bundle names no m-line that is there")

    def first(name: str) -> str:
        return next(iter((*values(own, name), *values(session, name))), "")

    ufrag, password = first("ice-ufrag"), first("ice-pwd")
    if not ICE.fullmatch(ufrag) or not ICE.fullmatch(password) or len(password) < 22:
        raise OfferError("no_ice", "ice-ufrag or ice-pwd is missing or malformed (RFC 8839 section 5.4)")
    fingerprints = []
    for value in values(own, "fingerprint") or values(session, "fingerprint"):
        algorithm, _, digest = value.partition(" ")
        if algorithm.lower() in FINGERPRINT_ALGORITHMS and _FINGERPRINT.fullmatch(digest):
            fingerprints.append((algorithm.lower(), digest.upper()))
    if not fingerprints:
        raise OfferError("no_fingerprint", "no DTLS fingerprint with sha-256, sha-384 or sha-512")
    setup = first("setup")
    if setup not in ("actpass", "active", "passive"):
        raise OfferError("bad_setup", "a=setup must be actpass, active or passive")
    origin = next((line[2:].split() for line in session if line.startswith("o=")), [])
    return Offer(
        session_id=origin[1] if len(origin) > 1 else "",
        bundle=bundle,
        ice_ufrag=ufrag,
        ice_password=password,
        fingerprints=tuple(fingerprints),
        answers_dtls=setup == "passive",
        allow_mixed="a=extmap-allow-mixed" in session or "a=extmap-allow-mixed" in own,
        sections=sections,
    )


def values(lines: list[str], name: str) -> list[str]:
    """The values of every `a=name:` line."""
    prefix = f"a={name}:"
    return [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]


def _section(lines: list[str]) -> OfferedSection:
    match = _M_LINE.fullmatch(lines[0])
    if match is None:
        raise OfferError("bad_sdp", "malformed m-line")
    kind, port, protocol, formats = match.groups()
    section = OfferedSection(
        kind=kind,
        protocol=protocol,
        formats=formats.split(),
        rejected=port == "0" and "a=bundle-only" not in lines,
    )
    by_type: dict[int, OfferedCodec] = {}
    rids: list[str] = []
    for line in lines[1:]:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            _attribute(section, by_type, rids, name, value.strip())
    if not section.mid:
        raise OfferError("bad_sdp", "an m-line has no mid")
    section.codecs = [
        by_type[int(f)] for f in section.formats if f.isascii() and f.isdigit() and int(f) in by_type
    ]
    simulcast = next((v for v in values(lines, "simulcast") if v.startswith("send ")), "")
    if simulcast:
        offered = simulcast[len("send ") :].split(" ")[0].split(";")
        section.rids = [
            r for r in (alternatives.split(",")[0].lstrip("~") for alternatives in offered) if r in rids
        ]
    return section


def _meant(by_type: dict[int, OfferedCodec], which: str) -> Iterable[OfferedCodec]:
    """The payload types that an rtcp-fb line is about. `*` (RFC 4585 section 4.2) is short to write and long to do: no
    more often than a codec's list has room."""
    if which == "*":
        first = next(iter(by_type.values()), None)
        return () if first is None or len(first.feedback) >= MAX_FEEDBACK else by_type.values()
    codec = by_type.get(int(which)) if _NUMBER.fullmatch(which) else None
    return () if codec is None else (codec,)


def _attribute(
    section: OfferedSection, by_type: dict[int, OfferedCodec], rids: list[str], name: str, value: str
) -> None:
    match name:
        case "mid":
            if not _TOKEN.fullmatch(value):
                raise OfferError("bad_sdp", "a mid must be a token of 1 to 16 characters")
            section.mid = value
        case "sendonly" | "recvonly" | "sendrecv" | "inactive":
            section.direction = name
        case "rtcp-mux":
            section.rtcp_mux = True
        case "rtcp-rsize":
            section.rtcp_rsize = True
        case "rtpmap":
            found = _RTPMAP.fullmatch(value)
            if found is None or int(found[1]) > 127:
                raise OfferError("bad_sdp", "malformed rtpmap")
            by_type[int(found[1])] = OfferedCodec(
                int(found[1]), found[2].lower(), int(found[3]), int(found[4] or "1")
            )
        case "fmtp" | "rtcp-fb":
            which, _, rest = value.partition(" ")
            for codec in _meant(by_type, "" if name == "fmtp" and which == "*" else which):
                if name == "fmtp":
                    codec.parameters = rest
                elif len(codec.feedback) < MAX_FEEDBACK:
                    codec.feedback.append(rest)
        case "extmap":
            found = _EXTMAP.fullmatch(value)
            if found is None:
                raise OfferError("bad_sdp", "malformed extmap")
            section.extensions.setdefault(found[2], int(found[1]))
        case "rid":
            identifier, _, rest = value.partition(" ")
            if _TOKEN.fullmatch(identifier) and rest.split(" ")[0] == "send":
                rids.append(identifier)
        case "sctp-port":
            if _NUMBER.fullmatch(value) and 0 < int(value) < 65536:
                section.sctp_port = int(value)
        case "max-message-size":
            if _NUMBER.fullmatch(value):
                section.max_message_bytes = int(value)
        case "ssrc":
            number_text = value.partition(" ")[0]
            if (
                _NUMBER.fullmatch(number_text)
                and int(number_text) not in section.ssrcs
                and len(section.ssrcs) < 16
            ):
                section.ssrcs.append(int(number_text))
