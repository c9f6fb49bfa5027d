"""The page's pure rules, asked in the browser they run in: who is large, what a layer may cost, when to come back."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import expect

from tests.room.conftest import Somebody, Stage

pytestmark = pytest.mark.browser


async def ask(somebody: Somebody, module: str, expression: str) -> Any:
    """The value of ``expression`` in which ``m`` is a module of the room's page."""
    return await somebody.page.evaluate(
        """async (module) => {
          const place = document.querySelector("script[src*='/room/room.js']").src;
          const m = await import(place.replace("room.js", module));
          return (EXPRESSION);
        }""".replace("EXPRESSION", expression),
        module,
    )


async def test_who_is_large_what_a_layer_costs_and_when_to_come_back(stage: Stage) -> None:
    async with stage.at_browser(stage.mentee) as ben:
        await ben.open_room()
        await expect(ben.page.get_by_test_id("join")).to_be_visible()

        places = {
            "['me'], [], null": ("grid", None),
            "['ada', 'me'], [], null": ("pair", "ada"),
            "['ada', 'me'], [], 'me'": ("pair", "me"),
            "['ada', 'me'], [], 'somebody who has left'": ("pair", "ada"),
            "['ada', 'me'], ['ada/screen'], null": ("stage", "ada/screen"),
            "['ada', 'me'], ['ada/screen'], 'ada'": ("stage", "ada"),
            "['ada', 'eve', 'me'], [], null": ("grid", None),
            "['ada', 'eve', 'me'], [], 'eve'": ("stage", "eve"),
            "['ada', 'eve', 'me'], ['ada/screen', 'eve/screen'], null": ("stage", "eve/screen"),
        }
        for arguments, (mode, large) in places.items():
            assert await ask(ben, "grid.js", f"m.arrange({arguments})") == {"mode": mode, "large": large}

        # Better layers cost more, smaller captures less, and nothing is unbounded.
        costs = await ask(
            ben,
            "sending.js",
            "[m.CAMERA, m.SCREEN].flatMap((shape) => [0, 320 * 180, 640 * 360, 1280 * 720, 3840 * 2160]"
            ".map((pixels) => shape.layers.map((layer) => m.bitrateOf(shape, layer, pixels))))",
        )
        for layers in costs:
            assert layers == sorted(layers, reverse=True) and layers[0] <= 2_800_000 and layers[-1] >= 100_000
        assert costs[0] == costs[3], "a camera of unknown size is taken for one of 720p"
        assert costs[3][1] == costs[2][0], "half of 720p costs what a capture of 360p costs"

        for code, attempt, wait in ((1006, 0, 50), (1006, 9, 8000), (1001, 0, 3000), (4429, 0, 12_000)):
            verdict = await ask(ben, "protocol.js", f"m.afterClose({code}, {attempt}, () => 1)")
            assert verdict == {"then": "reconnect", "after": wait, "renew": False}
        assert await ask(ben, "protocol.js", "m.afterClose(4409, 0)") == {"then": "stop", "why": "replaced"}
