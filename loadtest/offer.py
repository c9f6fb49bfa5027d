"""An SDP offer shaped like Chromium's: what a peer sends first, then the slots in which it wants to receive."""

import secrets
from dataclasses import dataclass

from media.rtp import AUDIO_LEVEL, MID, ORIENTATION, TRANSPORT_CC

ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"

# Payload types and extension ids as Chromium numbers them today.
OPUS = 111
VP8, VP8_RTX = 96, 97
AUDIO_LEVEL_ID, ABS_SEND_TIME_ID, TRANSPORT_CC_ID, MID_ID, ORIENTATION_ID = 1, 2, 3, 4, 13

AUDIO_SLOTS = 2
VIDEO_SLOTS = 3  # a second person's camera and screen, and one to spare


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one peer different from all others: ICE credentials and SSRCs."""

    ufrag: str
    password: str
    audio_ssrc: int
    video_ssrc: int
    rtx_ssrc: int

    @classmethod
    def random(cls) -> "Identity":
        """Fresh credentials: 24 and 144 bits (RFC 8445 section 5.3 asks for 24 and 128)."""
        while len(ssrcs := {secrets.randbelow(2**32 - 1) + 1 for _ in range(3)}) < 3:
            continue
        audio, video, rtx = ssrcs
        return cls(
            secrets.token_urlsafe(3).replace("-", "+").replace("_", "/"),
            secrets.token_hex(12),
            audio,
            video,
            rtx,
        )


def build_offer(
    identity: Identity,
    fingerprint: str,
    audio_slots: int = AUDIO_SLOTS,
    video_slots: int = VIDEO_SLOTS,
    sends: bool = True,
    setup: str = "actpass",
) -> str:
    """If it `sends`, m-lines 0 (audio) and 1 (video) do; then come `audio_slots` and `video_slots` recvonly."""
    own = ["audio", "video"] if sends else []
    kinds = [*own, *["audio"] * audio_slots, *["video"] * video_slots]
    lines = [
        "v=0",
        f"o=- {secrets.randbelow(2**62)} 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(str(mid) for mid in range(len(kinds)))}",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS loadtest",
    ]
    for mid, kind in enumerate(kinds):
        lines += _media(kind, mid, identity, fingerprint, mid < len(own), setup)
    return "\r\n".join(lines) + "\r\n"


def _media(kind: str, mid: int, identity: Identity, fingerprint: str, sending: bool, setup: str) -> list[str]:
    audio = kind == "audio"
    lines = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {OPUS if audio else f'{VP8} {VP8_RTX}'}",
        "c=IN IP4 0.0.0.0",
        "a=rtcp:9 IN IP4 0.0.0.0",
        f"a=ice-ufrag:{identity.ufrag}",
        f"a=ice-pwd:{identity.password}",
        "a=ice-options:trickle",
        f"a=fingerprint:sha-256 {fingerprint}",
        f"a=setup:{setup}",
        f"a=mid:{mid}",
    ]
    if audio:
        lines.append(f"a=extmap:{AUDIO_LEVEL_ID} {AUDIO_LEVEL}")
    lines += [f"a=extmap:{ABS_SEND_TIME_ID} {ABS_SEND_TIME}", f"a=extmap:{TRANSPORT_CC_ID} {TRANSPORT_CC}"]
    lines.append(f"a=extmap:{MID_ID} {MID}")
    if not audio:
        lines.append(f"a=extmap:{ORIENTATION_ID} {ORIENTATION}")
    lines.append("a=sendonly" if sending else "a=recvonly")
    if sending:
        lines.append(f"a=msid:loadtest {kind}")
    lines += ["a=rtcp-mux", "a=rtcp-rsize"]
    if audio:
        lines += [
            f"a=rtpmap:{OPUS} opus/48000/2",
            f"a=rtcp-fb:{OPUS} transport-cc",
            f"a=fmtp:{OPUS} minptime=10;useinbandfec=1",
        ]
    else:
        lines.append(f"a=rtpmap:{VP8} VP8/90000")
        lines += [
            f"a=rtcp-fb:{VP8} {feedback}"
            for feedback in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
        ]
        lines += [f"a=rtpmap:{VP8_RTX} rtx/90000", f"a=fmtp:{VP8_RTX} apt={VP8}"]
    if sending:
        own = [identity.audio_ssrc] if audio else [identity.video_ssrc, identity.rtx_ssrc]
        if not audio:
            lines.append(f"a=ssrc-group:FID {own[0]} {own[1]}")
        for ssrc in own:
            lines += [f"a=ssrc:{ssrc} cname:{identity.password[:16]}", f"a=ssrc:{ssrc} msid:loadtest {kind}"]
    return lines
