"""Two people in two real browsers: they see, hear and write to each other, through losses and returns."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from playwright.async_api import expect

from server.app import MEDIA
from tests.room.conftest import CONNECT_MS, Stage

pytestmark = pytest.mark.browser


async def test_a_call_with_everything_that_happens_in_one(stage: Stage) -> None:
    async with stage.at_browser(stage.mentor) as ada, stage.at_browser(stage.mentee) as ben:
        await ada.open_room()
        await ada.page.wait_for_function(
            "() => Number(document.querySelector('[data-testid=level-meter]').ariaValueNow) > 0"
        )
        await ada.join()
        await ben.open_room()
        there = ben.page.get_by_test_id("who-is-there")
        await expect(there).to_have_text("Ada Lovelace is in the room", timeout=15_000)
        await ben.join()
        await asyncio.gather(ada.sees(), ben.sees(), ada.hears(), ben.hears())

        await ada.says("Hello Ben")
        await ben.reads("Hello Ben")
        await ben.says("Hello Ada")
        await ada.reads("Hello Ben", "Hello Ada")

        # Muted: the other sees the badge, and packets flow on (presence goes on).
        await ada.page.keyboard.press("Escape")
        await ada.page.get_by_test_id("mute").click()
        badge = ben.page.locator("[data-testid=tile] [data-testid=muted-badge]")
        await expect(badge).to_be_visible()
        await ada.page.get_by_test_id("camera").click()
        await expect(ben.page.get_by_test_id("remote-video")).to_be_hidden()
        await ada.page.get_by_test_id("camera").click()
        await ada.page.get_by_test_id("mute").click()
        await expect(badge).to_be_hidden()
        await expect(ben.page.get_by_test_id("remote-video")).to_be_visible(timeout=CONNECT_MS)

        # The socket breaks: the picture does not, and nobody is offered anew.
        calls = await ben.page.evaluate("() => window.__connections.length")
        await ben.cut_socket()
        await ben.connected()
        await ben.says("Back already")
        await ada.reads("Hello Ben", "Hello Ada", "Back already")
        assert await ben.page.evaluate("() => window.__connections.length") == calls
        await ben.sees()

        # The media break on the server's side: the page notices and offers anew on the same socket.
        media, room = stage.world.app[MEDIA], str(stage.session_id)
        [bens] = [p.peer_id for p in media.presence(room) if p.participant_id == str(stage.mentee.id)]
        media.leave(room, bens)
        await ben.page.wait_for_function(
            "(calls) => window.__connections.length > calls", arg=calls, timeout=CONNECT_MS
        )
        await ben.connected()
        await asyncio.gather(ada.sees(), ben.sees())

        # A reload: one person, and the chat is there.
        await ben.page.reload()
        await ben.join()
        await ben.reads("Hello Ben", "Hello Ada", "Back already")
        await asyncio.gather(ben.sees(), ada.sees())
        assert len(stage.world.app[MEDIA].presence(str(stage.session_id))) == 2

        # A second tab takes the seat; the first says so and can take it back.
        tab = await ben.page.context.new_page()
        await tab.goto(ben.page.url)
        await tab.get_by_test_id("join").click()
        await expect(ben.page.get_by_text("You joined from somewhere else")).to_be_visible(timeout=CONNECT_MS)
        await expect(ben.page.get_by_test_id("continue-here")).to_be_visible()
        await expect(tab.locator("[data-testid=room][data-connected=true]")).to_be_visible(timeout=CONNECT_MS)
        assert len(stage.world.app[MEDIA].presence(str(stage.session_id))) == 2

        # Leaving by keyboard.
        await ada.page.get_by_test_id("mute").focus()
        await ada.page.keyboard.press("l")
        await expect(ada.page.get_by_test_id("leave-confirm")).to_be_focused()
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.get_by_test_id("ended")).to_be_visible()

        # The room closes under whoever is left.
        stage.world.clock.jump_to(stage.start + timedelta(hours=1, minutes=15))
        await expect(tab.get_by_text("The session is over")).to_be_visible(timeout=CONNECT_MS)


async def test_without_any_device_one_is_present_all_the_same(stage: Stage) -> None:
    """No camera, no microphone, or no permission: a silent track tells the SFU that somebody is there."""
    async with stage.at_browser(stage.mentee) as ben:
        await ben.page.add_init_script(
            "navigator.mediaDevices.getUserMedia ="
            " () => Promise.reject(new DOMException('no', 'NotAllowedError'));"
        )
        await ben.open_room()
        await expect(ben.page.get_by_test_id("device-help")).to_contain_text(
            "blocks the camera and microphone"
        )
        await ben.join()
        async with asyncio.timeout(20):
            while not any(  # noqa: ASYNC110
                sample.joined_at for sample in stage.world.app[MEDIA].presence(str(stage.session_id))
            ):
                await asyncio.sleep(0.05)
        await expect(ben.page.get_by_test_id("self-video")).to_be_hidden()


async def test_too_early_one_waits_at_the_door(stage: Stage) -> None:
    stage.world.clock.jump_to(stage.start - timedelta(minutes=15, seconds=4))
    async with stage.at_browser(stage.mentee) as ben:
        stage.world.clock.jump_to(stage.start - timedelta(minutes=15, seconds=4))
        await ben.open_room()
        await expect(ben.page.get_by_test_id("countdown")).to_contain_text("The room opens in")
        await expect(ben.page.get_by_test_id("join")).to_be_enabled(timeout=10_000)
        await ben.join()
