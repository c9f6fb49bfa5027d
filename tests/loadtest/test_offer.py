"""The offer is what the server's own parser and aiortc's accept, and answers are read or refused with all faults."""

import pytest
from aiortc.sdp import SessionDescription

from loadtest.answer import parse_answer
from loadtest.offer import (
    ABS_SEND_TIME,
    AUDIO_SLOTS,
    MID_ID,
    TRANSPORT_CC_ID,
    VIDEO_SLOTS,
    VP8,
    VP8_RTX,
    Identity,
    build_offer,
)
from loadtest.options import LoadError
from media.rtp import MID, TRANSPORT_CC
from media.sdp import parse_offer

FINGERPRINT = ":".join(f"{number:02X}" for number in range(32))


@pytest.fixture
def offer() -> tuple[Identity, str]:
    identity = Identity.random()
    return identity, build_offer(identity, FINGERPRINT)


def test_aiortc_reads_it(offer: tuple[Identity, str]) -> None:
    identity, sdp = offer
    parsed = SessionDescription.parse(sdp)
    directions = [(section.kind, section.direction) for section in parsed.media]
    assert directions == [
        ("audio", "sendonly"),
        ("video", "sendonly"),
        *[("audio", "recvonly")] * AUDIO_SLOTS,
        *[("video", "recvonly")] * VIDEO_SLOTS,
    ]
    [bundle] = parsed.group
    assert bundle.semantic == "BUNDLE"
    assert (
        bundle.items
        == [section.rtp.muxId for section in parsed.media]
        == [str(n) for n in range(len(directions))]
    )
    assert all(section.rtcp_mux for section in parsed.media)
    microphone, camera = parsed.media[:2]
    assert [source.ssrc for source in microphone.ssrc] == [identity.audio_ssrc]
    assert [source.ssrc for source in camera.ssrc] == [identity.video_ssrc, identity.rtx_ssrc]
    [group] = camera.ssrc_group
    assert (group.semantic, group.items) == ("FID", [identity.video_ssrc, identity.rtx_ssrc])
    assert [codec.payloadType for codec in camera.rtp.codecs] == [VP8, VP8_RTX]
    assert camera.rtp.codecs[1].parameters == {"apt": VP8}
    extensions = {extension.uri: extension.id for extension in camera.rtp.headerExtensions}
    assert (
        extensions[MID] == MID_ID
        and extensions[TRANSPORT_CC] == TRANSPORT_CC_ID
        and ABS_SEND_TIME in extensions
    )
    assert camera.dtls is not None and camera.dtls.fingerprints[0].value == FINGERPRINT
    assert all(not section.ssrc for section in parsed.media[2:]), "a receive slot sends"


def test_the_servers_parser_accepts_it(offer: tuple[Identity, str]) -> None:
    identity, sdp = offer
    parsed = parse_offer(sdp, 512 * 1024, 128)
    assert parsed.ice_ufrag == identity.ufrag


def test_two_identities_share_nothing() -> None:
    one, other = Identity.random(), Identity.random()
    assert one.ufrag != other.ufrag and one.password != other.password
    assert (
        len(
            {one.audio_ssrc, one.video_ssrc, one.rtx_ssrc, other.audio_ssrc, other.video_ssrc, other.rtx_ssrc}
        )
        == 6
    )


def test_ice_credentials_use_the_characters_of_rfc_8839() -> None:
    for _ in range(200):
        identity = Identity.random()
        assert 4 <= len(identity.ufrag) <= 256 and 22 <= len(identity.password) <= 256
        assert all(
            char.isascii() and (char.isalnum() or char in "+/") for char in identity.ufrag + identity.password
        )


ANSWER = "\r\n".join(
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "a=ice-lite",
        "m=audio 8081 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        f"a=fingerprint:sha-256 {FINGERPRINT.lower()}",
        "a=setup:passive",
        "a=recvonly",
        "a=rtpmap:111 opus/48000/2",
        f"a=extmap:4 {MID}",
        "a=candidate:1 1 udp 100 10.0.0.1 8081 typ host",
        "a=candidate:2 1 UDP 200 127.0.0.1 8081 typ host",
        "a=candidate:3 1 tcp 300 127.0.0.1 8081 typ host",
        "a=candidate:4 1 udp 400 192.0.2.1 8081 typ relay",
        "m=video 8081 UDP/TLS/RTP/SAVPF 96 97",
        "a=mid:1",
        "a=inactive",
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "",
    ]
)


def test_an_answer_is_read() -> None:
    answer = parse_answer(ANSWER)
    assert (answer.ufrag, answer.fingerprint) == ("abcd", FINGERPRINT)
    assert answer.candidates == (("127.0.0.1", 8081), ("10.0.0.1", 8081)), "UDP host candidates, best first"
    audio, video = answer.sections
    assert (audio.mid, audio.kind, audio.direction) == ("0", "audio", "recvonly")
    assert audio.extensions == {MID: 4} and audio.codecs == {111: "opus"}
    assert video.codecs == {96: "vp8", 97: "rtx"} and answer.section("1") is video
    with pytest.raises(LoadError, match="mid 7"):
        answer.section("7")


def test_a_useless_answer_is_refused_with_all_its_faults() -> None:
    with pytest.raises(LoadError) as caught:
        parse_answer("v=0\r\ns=-\r\nt=0 0\r\n")
    for fault in ("BUNDLE", "m-lines", "ICE", "fingerprint", "setup", "candidate"):
        assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a=setup:passive", "a=setup:active"),
        ("m=audio 8081 UDP/TLS/RTP/SAVPF 111", "m=audio"),
        ("a=extmap:4 ", "a=extmap:x "),
        ("a=mid:1", "a=mid:0"),
    ],
)
def test_a_broken_answer_is_refused(old: str, new: str) -> None:
    with pytest.raises(LoadError):
        parse_answer(ANSWER.replace(old, new))
