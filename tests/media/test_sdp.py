"""Offers read, plans made, answers written."""

from __future__ import annotations

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from media import MediaConfig, OfferError
from media.answer import LocalTransport, plan, write_answer
from media.sdp import MAX_FEEDBACK, parse_offer
from tests.media.client import offer, section

CONFIG = MediaConfig()
LOCAL = LocalTransport(
    "uuuuuuuu", "p" * 24, ":".join(["0A"] * 32), ("192.0.2.7", "198.51.100.7"), 8081, False, 16384
)
CALL = [section("0", "audio", "sendonly"), section("1", "video", "sendonly")] + [
    section(str(2 + i), "audio" if i % 2 == 0 else "video", "recvonly") for i in range(32)
]


def answer(text: str, config: MediaConfig = CONFIG) -> str:
    decided = plan(parse_offer(text, config.max_sdp_bytes, config.max_media_sections), config)
    return write_answer(decided, LOCAL, 1, 1, lambda mid: (1000 + int(mid), 2000 + int(mid)))


def section_of(text: str, mid: str) -> list[str]:
    return next(part.split("\r\n") for part in text.split("m=")[1:] if f"\r\na=mid:{mid}\r\n" in part)


def test_the_shape_of_an_answer() -> None:
    text = answer(offer(CALL))
    head = text.split("m=")[0].split("\r\n")
    assert "a=ice-lite" in head
    assert f"a=group:BUNDLE {' '.join(str(i) for i in range(34))}" in head
    camera = section_of(text, "1")
    assert camera[0] == "video 8081 UDP/TLS/RTP/SAVPF 96 97 98"
    assert {
        "a=recvonly", "a=rtcp-mux", "a=rtcp-rsize", "a=setup:passive", "a=ice-ufrag:uuuuuuuu", f"a=ice-pwd:{'p' * 24}",
        f"a=fingerprint:sha-256 {':'.join(['0A'] * 32)}", "a=rtpmap:96 VP8/90000", "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96", "a=rtcp-fb:96 transport-cc", "a=rtcp-fb:96 ccm fir", "a=rtcp-fb:96 nack",
        "a=rtcp-fb:96 nack pli", "a=candidate:1 1 udp 2130706431 192.0.2.7 8081 typ host",
        "a=candidate:2 1 udp 2130706175 198.51.100.7 8081 typ host", "a=end-of-candidates",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    } <= set(camera)  # fmt: skip
    assert not any("goog-remb" in line for line in camera)
    microphone = section_of(text, "0")
    assert microphone[0] == "audio 8081 UDP/TLS/RTP/SAVPF 111"
    assert "a=rtpmap:111 opus/48000/2" in microphone
    assert "a=fmtp:111 minptime=10;useinbandfec=1" in microphone
    slot = section_of(text, "3")
    assert "a=sendonly" in slot
    assert "a=msid:slot-0 slot-0-video" in slot and "a=ssrc-group:FID 1003 2003" in slot
    # The client is asked to report what arrives, so that its line can be estimated.
    assert "a=rtcp-fb:96 transport-cc" in slot and any("transport-wide-cc" in line for line in slot)
    old = section_of(
        answer(offer([[x for x in section("0", "video", "recvonly") if "transport" not in x]])), "0"
    )
    assert "a=rtcp-fb:96 goog-remb" in old and not any("transport" in line for line in old)


def test_another_implementation_reads_the_answer() -> None:
    parsed = SessionDescription.parse(answer(offer(CALL)))
    assert [m.direction for m in parsed.media] == ["recvonly"] * 2 + ["sendonly"] * 32
    assert all(m.ice and m.ice.iceLite and m.dtls and m.dtls.role == "server" for m in parsed.media)
    assert all(m.rtcp_mux for m in parsed.media)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["audio", "video"]),
            st.sampled_from(["sendonly", "recvonly", "sendrecv", "inactive"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_offered_line_is_answered_in_place(lines: list[tuple[str, str]]) -> None:
    mirror = {"sendonly": "recvonly", "recvonly": "sendonly"}
    text = answer(offer([section(str(i), kind, direction) for i, (kind, direction) in enumerate(lines)]),
                  MediaConfig(max_tracks_per_peer=12))  # fmt: skip
    parsed = SessionDescription.parse(text)
    assert [(m.kind, m.direction) for m in parsed.media] == [(k, mirror.get(d, d)) for k, d in lines]
    slots = {"audio": 0, "video": 0}
    for media, (kind, direction) in zip(parsed.media, lines, strict=True):
        if direction in ("recvonly", "sendrecv"):
            assert (media.msid or "").split(" ")[0] == f"slot-{slots[kind]}"
            slots[kind] += 1
        else:
            assert media.msid is None


def test_what_we_do_not_speak_is_rejected_line_by_line() -> None:
    data = [
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:7",
    ]  # without a=sctp-port
    unknown = [line.replace("VP", "WP") for line in section("8", "video", "sendonly")]
    text = answer(offer([section("0", "audio", "sendrecv"), data, unknown]))
    assert "a=group:BUNDLE 0\r\n" in text
    assert section_of(text, "7")[0] == "application 0 UDP/DTLS/SCTP webrtc-datachannel"
    assert section_of(text, "8")[0].startswith("video 0 ")


def test_data_channels_are_accepted_once_and_only_in_their_present_form() -> None:
    def data(mid: str, protocol: str = "UDP/DTLS/SCTP", name: str = "webrtc-datachannel") -> list[str]:
        return [f"m=application 9 {protocol} {name}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=sctp-port:5000"]

    text = answer(offer([section("0", "audio", "sendrecv"), data("1"), data("2")]))
    assert "a=group:BUNDLE 0 1\r\n" in text
    lines = section_of(text, "1")
    assert lines[0] == f"application {LOCAL.port} UDP/DTLS/SCTP webrtc-datachannel"
    assert {"a=sctp-port:5000", "a=max-message-size:16384", "a=setup:passive", "a=ice-ufrag:uuuuuuuu"} <= set(
        lines
    )
    assert not any(line.startswith(("a=rtcp", "a=sendrecv", "a=extmap")) for line in lines)
    assert section_of(text, "2")[0].startswith("application 0 ")
    for other in (data("1", "DTLS/SCTP", "5000"), data("1", name="something-else")):
        assert section_of(answer(offer([section("0", "audio", "sendrecv"), other])), "1")[0].startswith(
            "application 0 "
        )
    text = answer(offer([section("0", "audio", "sendrecv"), data("1")]), MediaConfig(max_data_channels=0))
    assert section_of(text, "1")[0].startswith("application 0 ")
    with pytest.raises(OfferError, match="no_common_codec"):
        answer(offer([data("0")]))


def test_simulcast_is_accepted_with_all_its_layers() -> None:
    layers = ("a=rid:f send", "a=rid:h send", "a=rid:q send", "a=simulcast:send f;h;q")
    text = answer(offer([section("0", "video", "sendonly", extra=layers)]))
    assert {"a=rid:f recv", "a=rid:h recv", "a=rid:q recv", "a=simulcast:recv f;h;q"} <= set(
        section_of(text, "0")
    )


TWO_CAMERAS = offer([section("0", "video", "sendonly"), section("1", "video", "sendonly")])
GOOD = offer([section("0", "audio", "sendrecv"), section("1", "video", "sendrecv")])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad_sdp"),
        ("hello", "bad_sdp"),
        ("v=0\r\ns=-\r\n", "no_media"),
        (GOOD.replace("a=group:BUNDLE 0 1", "a=group:LS 0 1"), "no_bundle"),
        (GOOD.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"), "no_bundle"),
        (GOOD.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 8 9"), "no_bundle"),
        (GOOD.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1"), "no_fingerprint"),
        (GOOD.replace("a=ice-pwd:" + "p" * 24, "a=ice-pwd:short"), "no_ice"),
        (GOOD.replace("a=ice-ufrag:abcd", ""), "no_ice"),
        (GOOD.replace("a=setup:actpass", "a=setup:holdconn"), "bad_setup"),
        (GOOD.replace("a=rtcp-mux\r\n", ""), "no_rtcp_mux"),
        (TWO_CAMERAS.replace("sdes:mid", "sdes:something"), "no_mid_extension"),
        (GOOD.replace("a=mid:1", "a=mid:0"), "bad_sdp"),
        (GOOD.replace("a=mid:1", "a=mid:" + "x" * 17), "bad_sdp"),
        (GOOD.replace("opus", "speex").replace("VP", "WP"), "no_common_codec"),
        (GOOD.replace("m=video 9", "m=video nine"), "bad_sdp"),
        (GOOD.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP8"), "bad_sdp"),
        (GOOD.replace("a=mid:1", "a=mid:1\ra=evil:1"), "bad_sdp"),
        (offer([section(str(i), "video", "recvonly") for i in range(101)]), "too_many_streams"),
        (offer([section(str(i), "video", "sendonly") for i in range(9)]), "too_many_streams"),
        (offer([section(str(i), "video", "sendonly") for i in range(129)]), "too_many_sections"),
        (GOOD + "a=x:" + "y" * CONFIG.max_sdp_bytes, "sdp_too_long"),
    ],
)
def test_refusals_have_names(text: str, code: str) -> None:
    with pytest.raises(OfferError) as refused:
        answer(text)
    assert refused.value.code == code
    assert refused.value.detail


@given(st.data())
def test_a_damaged_offer_is_answered_or_refused(data: st.DataObject) -> None:
    """Lines dropped, doubled, swapped and overwritten: an OfferError or an answer, nothing else."""
    lines = GOOD.split("\r\n")
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "double", "swap", "cut", "text"])):
            case "drop" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                lines[0], lines[at] = lines[at], lines[0]
            case "cut":
                lines[at] = lines[at][: data.draw(st.integers(0, 20))]
            case _:
                lines[at] = lines[at][:2] + data.draw(st.text(max_size=20))
    try:
        answer("\r\n".join(lines))
    except OfferError as error:
        assert error.code
    except (
        ValueError
    ) as error:  # int(mid) of this test's own lambda, when a mid was damaged into another token
        assert "int()" in str(error)


@given(st.text(max_size=400))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(OfferError):
        answer(text)


FFMPEG = (
    """v=0
o=FFmpeg 4489045141692799359 2 IN IP4 127.0.0.1
s=FFmpegPublishSession
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=video 9 UDP/TLS/RTP/SAVPF 106
c=IN IP4 0.0.0.0
a=ice-ufrag:1ac08523
a=ice-pwd:fb55f4f4d99d240fa65c2adfec5e7c24
a=fingerprint:sha-256 """
    + ":".join(["AB"] * 32)
    + """
a=setup:passive
a=mid:1
a=sendonly
a=msid:FFmpeg video
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:106 H264/90000
a=fmtp:106 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f
a=ssrc:2806541432 cname:FFmpeg
a=ssrc:2806541432 msid:FFmpeg video
"""
)


def test_what_ffmpeg_offers_when_it_sends_only_a_picture() -> None:
    """A bundle that names an m-line it does not have, no header extension, and the DTLS server's role."""
    text = answer(FFMPEG)
    assert "a=group:BUNDLE 1\r\n" in text
    video = section_of(text, "1")
    assert {"a=setup:active", "a=recvonly", "a=rtpmap:106 H264/90000", "a=rtcp-mux"} <= set(video)
    assert not any(line.startswith("a=extmap:") for line in video)
    # It takes the first candidate, and knows only UDP.
    assert next(line for line in video if line.startswith("a=candidate:")).split()[2] == "udp"


OBS = (
    """v=0
o=rtc 3096374318 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=ice-options:ice2,trickle
a=fingerprint:sha-256 """
    + ":".join(["AB"] * 32)
    + """
m=audio 9 UDP/TLS/RTP/SAVPF 111
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=ssrc:1286014193 cname:9UnLLtXEvXb1x5zQ
a=ssrc:1286014193 msid:mhmeVoP2zvsTmqfD mhmeVoP2zvsTmqfD-audio
a=msid:mhmeVoP2zvsTmqfD mhmeVoP2zvsTmqfD-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=setup:actpass
a=ice-ufrag:LmBa
a=ice-pwd:tBmDUxnkR9cFCVBLGPyEWE
m=video 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=mid:1
a=sendonly
a=ssrc:1286014194 cname:9UnLLtXEvXb1x5zQ
a=msid:mhmeVoP2zvsTmqfD mhmeVoP2zvsTmqfD-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
a=setup:actpass
a=ice-ufrag:LmBa
a=ice-pwd:tBmDUxnkR9cFCVBLGPyEWE
"""
)


def test_what_obs_offers() -> None:
    """Fingerprint for the whole session, two bundled m-lines with SSRCs and no header extension."""
    text = answer(OBS)
    assert "a=group:BUNDLE 0 1\r\n" in text
    assert {"a=recvonly", "a=setup:passive", "a=rtpmap:111 opus/48000/2"} <= set(section_of(text, "0"))
    video = section_of(text, "1")
    assert {"a=recvonly", "a=rtpmap:96 H264/90000", "a=rtcp-fb:96 nack pli"} <= set(video)


def test_wildcard_feedback_is_remembered_a_bounded_number_of_times() -> None:
    """27,000 lines for each of 128 payload types were half a second of everybody's time."""
    lines = section(
        "0", "video", "sendonly", extra=("a=rtcp-fb:* nack", *["a=rtcp-fb:* x", "a=fmtp:* y=1"] * 500)
    )
    parsed = parse_offer(offer([lines]), CONFIG.max_sdp_bytes, CONFIG.max_media_sections)
    for codec in parsed.sections[0].codecs:
        assert (
            "nack" in codec.feedback and len(codec.feedback) <= MAX_FEEDBACK and codec.parameter("y") is None
        )
