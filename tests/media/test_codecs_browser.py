"""Every codec in real Chromium on both ends: decoded at the other side, and layers within a stream chosen."""

from __future__ import annotations

import time

import pytest
from playwright.async_api import Browser

from tests.media.conftest import World
from tests.media.test_browser import join, open_page, site, until

pytestmark = pytest.mark.browser

DECODED = "Object.values(r.inbound).some(i => i.kind === 'video' && i.framesDecoded > 15)"


@pytest.mark.parametrize(
    ("codec", "parameters"),
    [
        ("video/VP8", ""),
        (
            "video/H264;packetization-mode=1;profile-level-id=42e01f",
            "packetization-mode=1;profile-level-id=42e01f",
        ),
        (
            "video/H264;packetization-mode=0;profile-level-id=42e01f",
            "packetization-mode=0;profile-level-id=42e01f",
        ),
        ("video/VP9;profile-id=0", "profile-id=0"),
        ("video/AV1;profile=0", "profile=0"),
    ],
)
async def test_each_codec_is_decoded(world: World, chromium: Browser, codec: str, parameters: str) -> None:
    """A late joiner, too, is shown the cached keyframe in it."""
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(zoe, "zoe", options={"send": False, "slots": 1})
        await join(ann, "ann", options={"slots": 0, "codec": codec, "height": 180})
        report = await until(zoe, DECODED)
        video = report["inbound"]["1"]
        assert video["codec"]["mimeType"] == codec.partition(";")[0]
        assert parameters in video["codec"].get("sdpFmtpLine", "")
        assert video["packetsLost"] <= 0
        kim = await open_page(chromium, address)
        await join(kim, "kim", options={"send": False, "slots": 1})
        report = await until(kim, DECODED)
        assert report["inbound"]["1"]["codec"]["mimeType"] == codec.partition(";")[0]
        assert report["inbound"]["1"]["packetsLost"] <= 0
        heights = {s.height for p in world.server.peer_stats("room") for s in p.streams if s.kind == "video"}
        assert heights == {180}  # read from the payload of each
        assert world.server.counters().drops.get("codec_not_accepted", 0) == 0


async def test_redundant_audio_is_heard(world: World, chromium: Browser) -> None:
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(zoe, "zoe", options={"send": False, "slots": 1})
        await join(ann, "ann", options={"slots": 0, "audioCodec": "audio/red"})
        report = await until(zoe, "r.inbound['0'] && r.inbound['0'].totalAudioEnergy > 0")
        sounds = {s.codec for p in world.server.peer_stats("room") for s in p.streams if s.kind == "audio"}
        assert sounds == {"red"}  # Chromium's own statistics name what is inside
        assert report["inbound"]["0"]["packetsLost"] <= 0


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("codec", "mode", "describes", "heights"),
    [
        ("video/VP9;profile-id=0", "L2T3", True, (180, 360)),
        ("video/VP9;profile-id=0", "L2T3", False, (180, 360)),  # by VP9's own payload descriptor
        ("video/VP9;profile-id=0", "L2T3_KEY", True, (180, 360)),
        ("video/VP9;profile-id=0", "L3T3", True, (180, 360, 720)),
        ("video/AV1;profile=0", "L2T2", True, (180, 360)),
        ("video/AV1;profile=0", "L3T3", True, (180, 360, 720)),
    ],
)
async def test_layers_within_a_stream_follow_the_size_of_the_slot(
    world: World, chromium: Browser, codec: str, mode: str, describes: bool, heights: tuple[int, ...]
) -> None:
    """`describes`: the viewer negotiates the dependency descriptor."""
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(zoe, "zoe", options={"send": False, "slots": 1, "describes": describes})
        await join(
            ann,
            "ann",
            options={
                "slots": 0,
                "codec": codec,
                "mode": mode,
                "bitrate": 900_000,
                "height": heights[-1],
                "large": heights[-1] > 360,
            },
        )
        best = f"(r.inbound['1'] || {{}}).frameHeight === {heights[-1]}"
        report = await until(zoe, f"{best} && r.inbound['1'].framesDecoded > 30")
        for height, shown in (*((height, height) for height in heights[:-1]), (None, heights[-1])):
            before = report["inbound"]["1"]["framesDecoded"]
            world.server.want("room", "zoe", "1", height)
            started = time.monotonic()
            await until(zoe, f"r.inbound['1'].frameHeight === {shown}")
            passed = time.monotonic() - started
            report = await until(
                zoe, f"r.inbound['1'].frameHeight === {shown} && r.inbound['1'].framesDecoded > {before + 30}"
            )
            print(f"{codec} {mode}: {shown} lines after {passed:.2f} s")
            (slot,) = [s for p in world.server.peer_stats("room") for s in p.streams
                       if s.direction == "out" and s.kind == "video"]  # fmt: skip
            assert slot.height == shown
        video = report["inbound"]["1"]
        assert video["codec"]["mimeType"] == codec.partition(";")[0]
        assert video["packetsLost"] <= 0
        assert video["pliCount"] == 0  # every picture could be decoded
        assert video["freezeCount"] <= 1  # the encoder shares the machine


@pytest.mark.heavy
async def test_who_does_not_take_descriptors_gets_the_lowest_layer_of_av1(
    world: World, chromium: Browser
) -> None:
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(zoe, "zoe", options={"send": False, "slots": 1, "describes": False})
        await join(ann, "ann", options={"slots": 0, "codec": "video/AV1;profile=0", "mode": "L2T2"})
        report = await until(
            zoe, "(r.inbound['1'] || {}).frameHeight === 180 && r.inbound['1'].framesDecoded > 30"
        )
        assert report["inbound"]["1"]["pliCount"] == 0
