"""The room's page uses the TURN servers it is handed, and asks for fresh credentials before the old ones end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from server.settings import Settings, Turn
from tests.room.conftest import CONNECT_MS, Stage

pytestmark = pytest.mark.browser

USERNAME = "window.__connections.at(-1).getConfiguration().iceServers.at(-1).username"


@pytest.fixture
def room_settings(settings: Settings) -> Settings:
    # Nobody listens there, and nobody needs to: the media port is near. Credentials of 25 s are always about to end.
    turn = Turn(("stun:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp"), "secret-of-the-relay", 25)
    return replace(
        settings, demo=True, media_port=0, public_url=f"http://127.0.0.1:{settings.port}", turn=turn
    )


async def test_credentials_are_renewed_when_ice_restarts(stage: Stage) -> None:
    async with stage.at_browser(stage.mentor) as ada:
        await ada.open_room()
        await ada.join()
        given = await ada.page.evaluate("() => window.__connections.at(-1).getConfiguration().iceServers")
        assert [server["urls"] for server in given] == [
            ["stun:127.0.0.1:9"],
            ["turn:127.0.0.1:9?transport=tcp"],
        ]
        before = given[-1]["username"]
        expiry, _, who = before.partition(":")
        assert who == str(stage.mentor.id)
        assert abs(int(expiry) - stage.world.clock.now().timestamp() - 25) < 25
        stage.world.clock.jump_to(stage.world.clock.now() + timedelta(seconds=10))
        await ada.page.evaluate("() => window.dispatchEvent(new Event('online'))")
        await ada.page.wait_for_function(f"(before) => {USERNAME} !== before", arg=before, timeout=CONNECT_MS)
        await ada.connected()
