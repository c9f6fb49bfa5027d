"""Which codecs are taken in which variants, and who can be sent which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import MediaConfig, SlotsChanged
from media.answer import Plan, plan
from media.api import Kind
from media.codec import AV1, CODECS, H264, OPUS, RED, VP8, VP9, ForwardedCodec, ranked, recognise
from media.h264 import profile
from media.outlet import Outlet
from media.rtcp import KeyframeRequest
from media.sdp import OfferedCodec, parse_offer
from tests.media.client import Client, offer, rtp, section
from tests.media.conftest import World

# As Chromium offers them: payload type, encoding, parameters; each has RTX at the next number.
CHROMIUM = (
    (96, "VP8/90000", ""),
    (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (104, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42001f"),
    (106, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (108, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (112, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f"),
    (41, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=f4001f"),
    (45, "AV1/90000", "level-idx=5;profile=0;tier=0"),
    (47, "AV1/90000", "level-idx=5;profile=1;tier=0"),
    (98, "VP9/90000", "profile-id=0"),
    (100, "VP9/90000", "profile-id=2"),
)
# Safari on a machine without AV1.
SAFARI = (
    (96, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f"),
    (98, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (100, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=640c1f"),
    (102, "H264/90000", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
    (104, "VP8/90000", ""),
    (106, "VP9/90000", "profile-id=0"),
)
AUDIO = (
    (111, "opus/48000/2", "minptime=10;useinbandfec=1;usedtx=1"),
    (63, "red/48000/2", "111/111"),
    (0, "PCMU/8000", ""),
)

Codecs = tuple[tuple[int, str, str], ...]


def lines(mid: str, kind: str, direction: str, codecs: Codecs) -> list[str]:
    rtx = kind == "video"
    formats = " ".join(f"{number} {number + 1}" if rtx else str(number) for number, _, _ in codecs)
    found = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {formats}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", f"a={direction}", "a=rtcp-mux",
        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid",
    ]  # fmt: skip
    for number, name, parameters in codecs:
        found.append(f"a=rtpmap:{number} {name}")
        if parameters:
            found.append(f"a=fmtp:{number} {parameters}")
        if rtx:
            found += [f"a=rtpmap:{number + 1} rtx/90000", f"a=fmtp:{number + 1} apt={number}"]
    return found


def planned(
    codecs: Codecs, direction: str = "sendonly", kind: str = "video", viewers: tuple[Plan, ...] = ()
) -> Plan:
    others: dict[Kind, list[set[str]]] = {
        "video": [{c.codec.key for s in viewer.sections for c in s.codecs} for viewer in viewers]
    }
    config = MediaConfig()
    parsed = parse_offer(offer([lines("0", kind, direction, codecs)]), config.max_sdp_bytes, 8)
    return plan(parsed, config, others)


def keys(decided: Plan) -> list[str]:
    return [c.codec.key for c in decided.sections[0].codecs]


def test_every_variant_is_taken_and_the_widest_of_a_codec_preferred() -> None:
    decided = planned(CHROMIUM)
    assert [(c.offered.payload_type, c.rtx, c.codec.key) for c in decided.sections[0].codecs] == [
        (96, 97, "vp8"),
        (106, 107, "h264/cb/1"),
        (108, 109, "h264/cb/0"),
        (112, 113, "h264/main/1"),
        (102, 103, "h264/baseline/1"),
        (104, 105, "h264/baseline/0"),
        (45, 46, "av1"),
        (98, 99, "vp9"),
    ]
    assert decided.payload_types()[106] is H264["cb", 1] and decided.repair_types()[107] == 106


def test_a_slot_keeps_the_order_of_its_client() -> None:
    assert keys(planned(SAFARI, "recvonly"))[:3] == [
        "h264/constrained-high/1",
        "h264/cb/1",
        "h264/constrained-high/0",
    ]


def test_what_not_everybody_in_the_room_decodes_comes_last() -> None:
    """Somebody prefers AV1; a Safari without it is in the room: the common codecs come first, in his order."""
    av1_first = (CHROMIUM[7], CHROMIUM[9], CHROMIUM[0], CHROMIUM[3])
    assert keys(planned(av1_first)) == ["av1", "vp9", "vp8", "h264/cb/1"]
    safari = planned(SAFARI, "recvonly")
    assert keys(planned(av1_first, viewers=(safari,))) == ["vp9", "vp8", "h264/cb/1", "av1"]
    only_vp8 = planned(CHROMIUM[:1], "recvonly")
    assert keys(planned(av1_first, viewers=(safari, only_vp8))) == ["vp8", "av1", "vp9", "h264/cb/1"]


def slot(codecs: Codecs, kind: Kind = "video") -> Outlet:
    decided = planned(codecs, "recvonly", kind)
    types = {c.codec.key: (c.offered.payload_type, c.rtx) for c in decided.sections[0].codecs}
    return Outlet("0", kind, 0, types, (1, 2), (0, 0, 0))


@pytest.mark.parametrize(
    ("publisher", "subscriber", "payload_type"),
    [
        (H264["cb", 1], CHROMIUM, 106),
        (H264["cb", 0], CHROMIUM, 108),
        (H264["baseline", 1], CHROMIUM, 102),
        (H264["main", 0], CHROMIUM, 112),  # single NAL units are a part of mode 1
        (H264["cb", 1], SAFARI, 98),
        (H264["constrained-high", 1], SAFARI, 96),
        (H264["constrained-high", 1], CHROMIUM, None),
        (H264["high", 1], SAFARI, None),
        (H264["baseline", 1], SAFARI, None),
        (H264["cb", 1], SAFARI[:1], 96),  # a constrained baseline stream is one of constrained high, too
        (
            H264["cb", 1],
            SAFARI[2:4],
            None,
        ),  # mode 1 may aggregate and fragment: nothing for a mode 0 receiver
        (AV1, SAFARI, None),
        (AV1, CHROMIUM, 45),
        (VP9, SAFARI, 106),
        (VP8, SAFARI, 104),
    ],
)
def test_who_can_be_sent_what(
    publisher: ForwardedCodec, subscriber: Codecs, payload_type: int | None
) -> None:
    types = slot(subscriber).payload_types
    key = publisher.among(types)
    assert (types[key][0] if key is not None else None) == payload_type


@pytest.mark.parametrize(
    ("level_id", "name"),
    [
        ("42e01f", "cb"), ("42c01e", "cb"), ("4D801F", "cb"), ("58c01f", "cb"), ("42001f", "baseline"),
        ("58801f", "baseline"), ("4d001f", "main"), ("4d401f", "main"), ("64001f", "high"),
        ("640c1f", "constrained-high"), ("64081f", None), ("f4001f", None), ("58001f", None), (None, "baseline"),
        ("42e0", None), ("", None), ("xx", None), ("42e01f00", None),
    ],
)  # fmt: skip
def test_h264_profiles(level_id: str | None, name: str | None) -> None:
    assert profile(level_id) == name


def test_redundant_audio_is_taken_with_what_it_carries() -> None:
    assert keys(planned(AUDIO, kind="audio")) == ["opus", "red"]
    assert keys(planned((AUDIO[1], AUDIO[0]), kind="audio")) == ["red", "opus"]
    foreign = ((63, "red/48000/2", "0/0"), *AUDIO[::2])  # carries PCMU
    assert keys(planned(foreign, kind="audio")) == ["opus"]
    assert (
        RED.among({"opus", "red"}) == "red" and RED.among({"opus"}) == "opus" and OPUS.among({"red"}) is None
    )


@given(
    st.lists(st.sampled_from(CODECS), unique=True),
    st.lists(st.sets(st.sampled_from([c.key for c in CODECS]))),
)
def test_the_order_leaves_out_nothing_and_shared_comes_first(
    offered: list[ForwardedCodec], viewers: list[set[str]]
) -> None:
    order = ranked(offered, viewers)
    assert sorted(order) == list(range(len(offered)))
    shared = [all(offered[place].among(v) is not None for v in viewers) for place in order]
    assert shared == sorted(shared, reverse=True)


def test_each_variant_is_recognised_as_itself() -> None:
    for codec in CODECS:
        assert codec.among({codec.key}) == codec.key  # and can be sent to who takes exactly that
    assert len({codec.key for codec in CODECS}) == len(CODECS)
    for name, parameters in (
        ("vp9", "profile-id=1"),
        ("av1", "profile=1"),
        ("h264", "packetization-mode=2;profile-level-id=42e01f"),  # interleaved
        ("vp7", ""),
    ):
        offered = OfferedCodec(96, name, 90000, 1, parameters)
        assert recognise(name, 90000, offered.parameter) is None


async def test_who_cannot_decode_a_picture_is_named(world: World) -> None:
    """ann sends VP9, zoe takes only VP8: nothing is shown, and the statistics say why."""
    only_vp8 = [line for line in section("1", "video", "recvonly") if "VP9" not in line and ":98" not in line]
    ann = await world.join("ann")
    zoe = Client(world.server, "room", "zoe", "zoe", [section("0", "audio", "sendonly"), only_vp8])
    world.clients.append(zoe)
    await zoe.connect()
    ann.send(rtp(2000, 98, 1, 3000, b"\x8c\x80\x07\x82\x49\x83\x42", mid="1"))
    await ann.until(lambda: any(isinstance(p, KeyframeRequest) for p in ann.rtcp))
    ann.send(rtp(2000, 98, 2, 6000, b"\x8c\x80\x08\x82\x49\x83\x42", mid="1"))

    def told() -> str:
        streams = [
            s for p in world.server.peer_stats(zoe.room) for s in p.streams if p.participant_id == "zoe"
        ]
        return next((s.undecodable for s in streams if s.direction == "out" and s.kind == "video"), "")

    await world.until(lambda: told() == "vp9")
    await world.until(lambda: world.server.counters().drops.get("codec_not_accepted", 0) > 0)
    assert all(p.payload_type != 98 for p in zoe.rtp)

    def announced() -> list[str]:
        changes = [e for e in world.all(SlotsChanged) if e.peer_id == "zoe"]
        return [slot.undecodable for slot in changes[-1].slots if slot.kind == "video"]

    await world.until(lambda: announced() == ["vp9"])
