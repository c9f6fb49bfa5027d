"""Every view of the room fits, on a phone and on a desk; with pictures in both themes for people to look at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import pytest
from playwright.async_api import Page, expect

from server.app import MEDIA
from tests.media.relay import NarrowRelay
from tests.room.conftest import CONNECT_MS, Somebody, Stage

pytestmark = pytest.mark.browser
ARTIFACTS = Path(__file__).parent.parent / "artifacts" / "room"
PICTURES = "VISAVIS_PICTURES" in os.environ  # for whoever works on the design; takes a minute
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1280, "height": 800}}
SIDEWAYS = {"width": 740, "height": 360}
SMALL_BUTTONS = """() => [...document.querySelectorAll('[data-testid=room] button')].filter((b) => b.offsetParent)
  .map((b) => [b.dataset.testid, b.offsetWidth, b.offsetHeight]).filter(([, w, h]) => w < 44 || h < 44)"""

# A microphone that hums without a pause, so that there is somebody who speaks.
HUM = """
  const ask = MediaDevices.prototype.getUserMedia;
  MediaDevices.prototype.getUserMedia = async function (wish) {
    const stream = await ask.call(this, wish);
    if (!wish.audio) return stream;
    const context = new AudioContext(), hum = context.createOscillator(), out = context.createMediaStreamDestination();
    hum.connect(out);
    hum.start();
    return new MediaStream([...out.stream.getAudioTracks(), ...stream.getVideoTracks()]);
  };
"""

# The page has drawn itself twice: what it does when its size changes is done.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=ARTIFACTS / f"{name}.png", animations="disabled")
    else:
        await page.evaluate(DRAWN)


@pytest.mark.parametrize("size", SIZES)
async def test_the_room_fits(stage: Stage, size: str) -> None:
    """Nothing is wider than the window, in either theme, and every control is large enough for a thumb."""
    async with (
        stage.at_browser(stage.mentor) as ada,
        stage.at_browser(stage.mentee, viewport=SIZES[size]) as ben,
    ):

        async def shoot(name: str) -> None:
            for theme in THEMES:
                await ben.page.emulate_media(color_scheme=theme)
                await picture(ben.page, f"{name}-{size}-{theme}")
                wide = await ben.page.evaluate(
                    "() => document.documentElement.scrollWidth - window.innerWidth"
                )
                assert wide <= 0, f"{name} is {wide} px too wide"

        await ben.open_room()
        await expect(ben.page.get_by_test_id("local-video")).to_be_visible()
        await expect(ben.page.get_by_test_id("join")).to_be_enabled()
        await ben.page.wait_for_function(
            "() => document.querySelector('[data-testid=local-video]').videoWidth > 0"
        )
        await shoot("prejoin")
        await ben.join()
        await shoot("alone")
        await ada.open_room()
        await ada.join()
        await ben.sees()
        if size == "phone":
            await ben.page.get_by_test_id("mute").click()
            await shoot("room")
            await ben.page.get_by_test_id("chat-toggle").click()
        await ada.says("Hello Ben! I have read your outline.\nShall we start with the opening?")
        await ben.says("Yes please. Here it is: https://example.org/talk")
        await ben.reads("Hello Ben", "Yes please")
        await shoot("chat")
        assert await ben.page.evaluate(SMALL_BUTTONS) == []
        if size == "phone":
            await ben.page.get_by_test_id("chat-close").click()
        await ada.page.get_by_test_id("camera").click()
        await expect(ben.page.get_by_test_id("remote-video")).to_be_hidden()
        await shoot("camera-off")
        await ben.page.get_by_test_id("leave").click()
        await shoot("leaving")
        await ben.page.get_by_test_id("leave-confirm").click()
        await expect(ben.page.get_by_test_id("ended")).to_be_visible()
        await expect(ben.page.locator("dialog[open]")).to_have_count(0)
        await shoot("left")


async def shoot_all(somebody: Somebody, name: str) -> None:
    """One state of the room in both sizes and both themes, and on a phone that lies on its side."""
    page = somebody.page
    for size, theme in (
        *((size, theme) for size in SIZES for theme in THEMES),
        ("sideways", THEMES[1]),
    ):
        await page.emulate_media(color_scheme=theme)
        await page.set_viewport_size(SIZES.get(size, SIDEWAYS))  # type: ignore[arg-type]
        await picture(page, f"{name}-{size}-{theme}")
        wide, high = await page.evaluate(
            "() => { const d = document.documentElement;"
            " return [d.scrollWidth - window.innerWidth, d.scrollHeight - window.innerHeight]; }"
        )
        assert wide <= 0 and high <= 0, f"{name} {size} is {wide} px too wide, {high} px too high"
        outside = await page.evaluate(
            """() => [...document.querySelectorAll('.controls button, .sharing button')].filter((b) => b.offsetParent)
              .filter((b) => { const r = b.getBoundingClientRect();
                return r.left < 0 || r.top < 0 || r.right > innerWidth || r.bottom > innerHeight; })
              .map((b) => b.dataset.testid)"""
        )
        assert outside == [], f"{name} {size}: cannot be pressed"
        assert await page.evaluate(SMALL_BUTTONS) == []
    await page.set_viewport_size(SIZES["desk"])  # type: ignore[arg-type]


async def test_what_can_happen_in_a_call_fits(stage: Stage) -> None:
    async with (
        NarrowRelay(stage.world.app[MEDIA].port, 20e6) as relay,
        stage.at_browser(stage.mentor) as ada,
        stage.at_browser(stage.mentee) as ben,
    ):
        await ada.page.add_init_script(HUM)
        await ben.page.add_init_script(f"window.__relay = {relay.port}")
        for somebody in (ada, ben):
            await somebody.open_room()
            await somebody.join()
            await somebody.page.get_by_test_id("chat-close").click()
        await ben.sees()
        hers = ben.page.get_by_test_id("tile")
        await expect(hers).to_have_attribute("data-speaking", "true", timeout=CONNECT_MS)
        await shoot_all(ben, "two")

        await ada.page.get_by_test_id("share").click()
        screen = ben.page.get_by_test_id("remote-screen")
        await expect(screen).to_be_visible(timeout=CONNECT_MS)
        await ben.page.wait_for_function(
            "() => document.querySelector('[data-testid=remote-screen]').videoWidth > 0", timeout=CONNECT_MS
        )
        await ben.sees()
        await shoot_all(ben, "screen")
        await ben.page.get_by_test_id("chat-toggle").click()
        await picture(ben.page, "screen-chat")
        await ben.page.set_viewport_size(SIDEWAYS)  # type: ignore[arg-type]
        await picture(ben.page, "chat-sideways")
        await ben.page.set_viewport_size(SIZES["desk"])  # type: ignore[arg-type]
        await ben.page.get_by_test_id("chat-close").click()
        await ben.page.get_by_test_id("quality-button").click()
        await picture(ben.page, "quality")
        await ben.page.keyboard.press("Escape")
        await ben.page.keyboard.press("?")
        await picture(ben.page, "shortcuts")
        await ben.page.keyboard.press("Escape")
        await shoot_all(ada, "sharing")
        await ada.page.get_by_test_id("share-stop").click()
        await expect(screen).to_have_count(0)
        await ben.sees()

        relay.rate = 60e3
        note = hers.get_by_test_id("paused-note")
        await expect(note).to_contain_text("Video paused", timeout=2 * CONNECT_MS)
        await shoot_all(ben, "paused")
        relay.rate = 20e6
        await expect(note).to_be_hidden(timeout=2 * CONNECT_MS)

        relay.cut = True
        await expect(ben.page.get_by_test_id("banner")).to_be_visible(timeout=2 * CONNECT_MS)
        await shoot_all(ben, "reconnecting")
