"""Real Chromium over lines that are narrow, lossy or new: what is seen, and how soon. Times are printed (pytest -s)."""

from __future__ import annotations

import time
from statistics import median

import pytest
from playwright.async_api import Browser

from media import PeerLeft, SlotPaused
from tests.media.conftest import World
from tests.media.relay import NarrowRelay, RadioRelay
from tests.media.test_browser import VIDEO_RUNS, join, open_page, site, until

pytestmark = pytest.mark.browser

# Joins with one slot and resolves with the milliseconds until its video shows the first frame.
FIRST_FRAME = """async ([query]) => {
  const begun = performance.now();
  await join('pc', query, {send: false, slots: 1});
  const video = document.querySelector('video');
  await new Promise(done => video.requestVideoFrameCallback(done));
  const took = performance.now() - begun;
  pcs.pc.pc.close();
  document.querySelectorAll('audio, video').forEach(element => element.remove());
  return took;
}"""


async def test_a_call_survives_ten_per_cent_of_loss(world: World, chromium: Browser) -> None:
    """On zoe's line, both ways, of pictures, sound and reports: frames go on coming, and nothing stays paused.

    Loss alone pauses nothing (test_downlink.py); a machine that is too slow for two browsers may, for a moment.
    """
    async with site(world) as address, RadioRelay(world.server.port, 0.1) as relay:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await zoe.evaluate("port => { window.relayPort = port }", relay.port)
        await join(ann, "ann")
        await join(zoe, "zoe")
        for page, name in ((zoe, "towards"), (ann, "from")):
            report = await until(page, "r.inbound['3'] && r.inbound['3'].framesDecoded > 240")
            video = report["inbound"]["3"]
            print(
                f"{name} the lossy line: {video['framesDecoded']} frames, {video['freezeCount']} freezes of "
                f"{video['totalFreezesDuration']:.1f} s in all, {video['pliCount']} keyframes asked for, "
                f"{video.get('retransmittedPacketsReceived')} packets repaired"
            )
            assert report["state"] == "connected"
        assert relay.lost_down > 50 and relay.lost_up > 50
        assert world.all(PeerLeft) == []
        print(f"paused {sum(event.paused for event in world.all(SlotPaused))} times")
        await world.until(
            lambda: not any({e.mid: e.paused for e in world.all(SlotPaused)}.values()), seconds=30
        )


async def test_a_late_joiner_sees_something_at_once(world: World, chromium: Browser) -> None:
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(ann, "ann", options={"slots": 0})
        took: list[float] = []
        for place in range(9):
            query = {"room": "room", "participant": "zoe", "peer": f"zoe-{place}"}
            took.append(await zoe.evaluate(FIRST_FRAME, [query]))
        print(f"first frame after {median(took):.0f} ms (median of {len(took)}; {[round(t) for t in took]})")
        assert median(took) < 2000  # some 150 ms on a machine that does nothing else


@pytest.mark.heavy
async def test_layers_follow_the_width_of_the_line(world: World, chromium: Browser) -> None:
    """zoe's line is cut from 3 Mb/s to 300 kb/s and back: a smaller layer, the best one again, and it goes on."""
    async with site(world) as address, NarrowRelay(world.server.port, rate=3e6) as relay:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await zoe.evaluate("port => { window.relayPort = port }", relay.port)
        await join(zoe, "zoe", options={"send": False, "slots": 1})
        await join(ann, "ann", options={"simulcast": True, "slots": 0, "large": True})
        await zoe.evaluate(
            "until('pc', \"(r.inbound['1'] || {}).frameHeight === 720 && r.inbound['1'].framesDecoded > 60\", 60000)"
        )
        relay.rate = 300e3
        started = time.monotonic()
        report = await until(zoe, "r.inbound['1'].frameHeight < 720")
        shrunk = time.monotonic() - started
        before = report["inbound"]["1"]["framesDecoded"]
        report = await until(zoe, f"r.inbound['1'].framesDecoded > {before + 45}")
        flowing = time.monotonic() - started
        relay.rate = 3e6
        started = time.monotonic()
        await zoe.evaluate("until('pc', \"r.inbound['1'].frameHeight === 720\", 60000)")
        print(
            f"3 Mb/s to 300 kb/s: smaller layer after {shrunk:.1f} s, 45 frames of it after {flowing:.1f} s; "
            f"back at 3 Mb/s the best layer after {time.monotonic() - started:.1f} s; "
            f"{report['inbound']['1']['freezeCount']} freezes"
        )


async def test_a_wide_line_is_left_alone(world: World, chromium: Browser) -> None:
    """On a busy machine browsers and server stand still now and then: that is no reason to send less."""
    async with site(world) as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(ann, "ann")
        await join(zoe, "zoe")
        for page in (ann, zoe):
            await until(page, f"{VIDEO_RUNS} && r.inbound['3'].framesDecoded > 300")
        assert world.all(SlotPaused) == []
        for stats in world.server.peer_stats("room"):
            print(f"{stats.participant_id}: estimate {stats.estimate_bps}, queue {stats.queue_seconds:.3f} s")
