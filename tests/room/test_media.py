"""What a call costs and survives: layers, screens, narrow lines, lost networks and unplugged devices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import expect

from server.app import MEDIA
from tests.media.relay import LossyRelay, NarrowRelay
from tests.room.conftest import CONNECT_MS, Somebody, Stage

pytestmark = pytest.mark.browser

PATIENCE = 40  # seconds; a loaded machine
WIDE, NARROW = 20e6, 60e3  # bits per second: more than enough; sound and hardly anything else


async def both_in(ada: Somebody, ben: Somebody) -> None:
    for somebody in (ada, ben):
        await somebody.open_room()
        await somebody.join()
    await asyncio.gather(ada.sees(), ben.sees())


async def until(look: Callable[[], Awaitable[Any]]) -> None:
    """Look until there is something to see."""
    async with asyncio.timeout(PATIENCE):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.3)


async def active(somebody: Somebody) -> set[str]:
    """The layers of the camera that are switched on."""
    return {
        key[1:] for key, report in (await somebody.outbound()).items() if key[0] == "1" and report["active"]
    }


async def test_a_thumbnail_costs_a_thumbnail_and_a_hidden_page_nothing(stage: Stage) -> None:
    async with stage.at_browser(stage.mentor) as ada, stage.at_browser(stage.mentee) as ben:
        await both_in(ada, ben)
        await ben.sees_lines(360)
        await ben.page.get_by_role("button", name="Show yourself large").click()
        await ben.sees_lines(180)

        async def small_only() -> bool:
            return "f" not in await active(ada)

        await until(small_only)
        await ben.page.get_by_role("button", name="Show Ada Lovelace large").click()
        await ben.sees_lines(360)
        assert "f" in await active(ada)

        # Media have flowed for a while: the server has judged each line.
        await expect(ben.page.get_by_test_id("quality")).not_to_have_attribute(
            "data-quality", "none", timeout=CONNECT_MS
        )

        # Nobody looks: nothing is encoded, and the sound goes on.
        await ben.hide(True)

        async def nothing() -> bool:
            return not await active(ada)

        await until(nothing)
        before = await ada.outbound()
        await ben.hears()

        async def second_of_sound() -> bool:
            return bool((await ada.outbound())["0"]["bytes"] > before["0"]["bytes"] + 3000)

        await until(second_of_sound)
        after = await ada.outbound()
        video = [key for key in after if key.startswith("1")]
        assert video and all(after[key]["bytes"] == before[key]["bytes"] for key in video)
        await ben.hide(False)
        await ben.sees()


async def test_a_screen_is_shown_large_until_the_browser_stops_it(stage: Stage) -> None:
    async with stage.at_browser(stage.mentor) as ada, stage.at_browser(stage.mentee) as ben:
        await both_in(ada, ben)
        calls = await ada.connections(), await ben.connections()
        for _ in range(2):
            await ada.page.get_by_test_id("share").click()
            await expect(ada.page.get_by_test_id("sharing")).to_be_visible()
            screen = ben.page.get_by_test_id("tile-screen")
            await expect(screen).to_have_class("tile tile-screen tile-large", timeout=CONNECT_MS)
            await ben.page.wait_for_function(
                "() => document.querySelector('[data-testid=remote-screen]').videoWidth >= 640",
                timeout=CONNECT_MS,
            )
            # Ada is beside it now, as a thumbnail, and goes on moving.
            await expect(ben.page.get_by_test_id("tile")).not_to_have_class("tile-large")
            await ben.sees()
            # The browser's own "Stop sharing" ends the track.
            await ada.page.evaluate(
                "() => { const t = window.__screens.at(-1); t.stop(); t.dispatchEvent(new Event('ended')); }"
            )
            await expect(screen).to_have_count(0)
            await expect(ada.page.get_by_test_id("sharing")).to_be_hidden()
            await expect(ben.page.get_by_test_id("tile")).to_have_class("tile tile-large")
        assert (await ada.connections(), await ben.connections()) == calls, "somebody had to begin anew"


async def test_a_picture_that_does_not_fit_the_line_says_so(stage: Stage) -> None:
    async with (
        NarrowRelay(stage.world.app[MEDIA].port, WIDE) as relay,
        stage.at_browser(stage.mentor) as ada,
        stage.at_browser(stage.mentee) as ben,
    ):
        await ben.page.add_init_script(f"window.__relay = {relay.port}")
        await both_in(ada, ben)
        note = ben.page.locator("[data-testid=tile] [data-testid=paused-note]")
        await expect(note).to_be_hidden()
        relay.rate = NARROW
        await expect(note).to_contain_text("Video paused: your connection is slow", timeout=PATIENCE * 1000)
        await expect(ada.page.locator("[data-testid=tile] [data-testid=paused-note]")).to_be_hidden()
        await ben.hears()
        relay.rate = WIDE
        await expect(note).to_be_hidden(timeout=PATIENCE * 1000)
        await ben.sees()


async def test_a_lost_network_is_found_again_on_the_same_connection(stage: Stage) -> None:
    async with (
        LossyRelay(stage.world.app[MEDIA].port, every=1 << 30) as relay,
        stage.at_browser(stage.mentor) as ada,
        stage.at_browser(stage.mentee) as ben,
    ):
        await ben.page.add_init_script(f"window.__relay = {relay.port}")
        await both_in(ada, ben)
        calls = await ben.connections()
        relay.cut = True
        banner = ben.page.get_by_test_id("banner")
        await expect(banner).to_have_text("Reconnecting sound and picture…", timeout=PATIENCE * 1000)
        relay.cut = False
        await ben.connected()
        await asyncio.gather(ada.sees(), ben.sees(), ada.hears())
        assert await ben.connections() == calls

        # Another network: nothing has failed yet, but the addresses are old.
        answers = "() => window.__connections.at(-1).remoteDescription.sdp"
        before = await ben.page.evaluate(answers)

        async def answered_anew() -> bool:
            # A change right after another one is not worth a second restart: until then it has no effect.
            await ben.page.evaluate("() => window.dispatchEvent(new Event('online'))")
            return bool(await ben.page.evaluate(answers) != before)

        await until(answered_anew)
        await asyncio.gather(ada.sees(), ben.sees())
        assert await ben.connections() == calls


async def test_devices_change_hands_in_the_middle_of_a_call(stage: Stage) -> None:
    async with stage.at_browser(stage.mentor) as ada, stage.at_browser(stage.mentee) as ben:
        await both_in(ada, ben)
        calls = await ada.connections()
        sent = (
            "() => window.__connections.at(-1).getSenders()"
            ".map((s) => s.track).filter((t) => t?.readyState === 'live').map((t) => `${t.kind} ${t.label}`)"
        )
        [first] = [t for t in await ada.page.evaluate(sent) if t.startswith("video")]
        await ada.page.keyboard.press("d")
        cameras = ada.page.locator("#call-camera")
        other = await cameras.locator("option:not(:checked)").first.inner_text()
        await cameras.select_option(label=other)
        await ada.page.wait_for_function(
            f"(label) => ({sent})().includes(`video ${{label}}`)", arg=other, timeout=CONNECT_MS
        )
        assert first not in await ada.page.evaluate(sent)
        await ada.page.keyboard.press("Escape")
        await ben.sees()

        # The camera is unplugged: the other one takes over, and the page says so.
        await ada.page.evaluate(
            """() => {
              const track = window.__connections.at(-1).getSenders().find((s) => s.track?.kind === "video").track;
              track.stop(); track.dispatchEvent(new Event("ended"));
            }"""
        )
        await expect(ada.page.locator(".toast")).to_contain_text("is gone. Using")
        await ben.sees()

        # Off is off: the device is free, and the slot is still there for when it comes back.
        await ada.page.keyboard.press("v")
        await expect(ben.page.get_by_test_id("remote-video")).to_be_hidden()
        assert not [t for t in await ada.page.evaluate(sent) if t.startswith("video")]
        await ada.page.keyboard.press("v")
        await ben.sees()
        assert await ada.connections() == calls


async def test_the_keys_are_listed_and_space_is_to_talk(stage: Stage) -> None:
    async with stage.at_browser(stage.mentee) as ben:
        await ben.open_room()
        await ben.join()
        await ben.page.evaluate("() => document.activeElement.blur()")
        await ben.page.keyboard.press("?")
        await expect(ben.page.get_by_test_id("shortcuts-dialog")).to_contain_text("Hold to talk")
        await ben.page.keyboard.press("Escape")
        await ben.page.evaluate("() => document.activeElement.blur()")
        mute = ben.page.get_by_test_id("mute")
        await ben.page.keyboard.press("m")
        await expect(mute).to_have_attribute("aria-pressed", "false")
        await ben.page.keyboard.down(" ")
        await expect(mute).to_have_attribute("aria-pressed", "true")
        await ben.page.keyboard.up(" ")
        await expect(mute).to_have_attribute("aria-pressed", "false")
