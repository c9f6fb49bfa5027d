"""Pictures of the room, for people to look at: every view, both themes, a phone and a desk."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.room.conftest import Stage

pytestmark = pytest.mark.browser
ARTIFACTS = Path(__file__).parent.parent / "artifacts" / "room"
SIZES = {"phone": {"width": 360, "height": 740}, "desk": {"width": 1280, "height": 800}}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_room_fits(stage: Stage, size: str, theme: str) -> None:
    """Nothing is wider than the window, and every control is large enough for a thumb."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    look = {"viewport": SIZES[size], "color_scheme": theme}
    async with stage.at_browser(stage.mentor) as ada, stage.at_browser(stage.mentee, **look) as ben:

        async def shoot(name: str) -> None:
            await ben.page.screenshot(path=ARTIFACTS / f"{name}-{size}-{theme}.png")
            wide = await ben.page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
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
        small = await ben.page.evaluate(
            """() => [...document.querySelectorAll('[data-testid=room] button')].filter((b) => b.offsetParent)
              .map((b) => [b.dataset.testid, b.offsetWidth, b.offsetHeight]).filter(([, w, h]) => w < 44 || h < 44)"""
        )
        assert small == []
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
