"""SDP fragments (RFC 8840): the ICE half of an offer, by which WHIP and WHEP trickle candidates and restart ICE."""

from __future__ import annotations

from media.api import OfferError
from media.sdp import ICE, split_lines, values

MAX_FRAGMENT = 32 * 1024  # characters; a candidate has about 100


def parse_fragment(text: str) -> str:
    """The ufrag a fragment is about, "" if it names none. Raises OfferError("bad_sdp").

    Candidates are only looked at as far as they must be lines of SDP: a lite agent waits for the client's checks, and
    learns its addresses from them (RFC 8445 section 2.4).
    """
    if len(text) > MAX_FRAGMENT:
        raise OfferError("sdp_too_long", f"the fragment has more than {MAX_FRAGMENT} characters")
    lines = split_lines(text)
    if not lines or any(line[1:2] != "=" or line[0] not in "abcikmostv" for line in lines):
        raise OfferError("bad_sdp", "this is not an SDP fragment")
    ufrags, passwords = set(values(lines, "ice-ufrag")), set(values(lines, "ice-pwd"))
    if len(ufrags) > 1 or len(passwords) > 1:
        raise OfferError("bad_sdp", "the fragment is about two ICE sessions")
    if not ufrags:
        return ""
    ufrag = ufrags.pop()
    if not ICE.fullmatch(ufrag) or not all(ICE.fullmatch(p) and len(p) >= 22 for p in passwords):
        raise OfferError("bad_sdp", "ice-ufrag or ice-pwd is malformed (RFC 8839 section 5.4)")
    return ufrag


def write_fragment(ufrag: str, password: str) -> str:
    """Our new credentials after an ICE restart; the candidates stay those of the first answer."""
    return f"a=ice-lite\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n"
