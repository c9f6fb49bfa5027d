"""Whoever waits in the room learns whom we have written to, and when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.attendance import actions as attendance
from signaling import hub
from tests.signaling.conftest import Stage
from tests.signaling.test_room import voice


async def test_who_waits_is_told_and_so_is_who_comes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LOOK_AGAIN", 0.1)
    ada, _ = await stage.enter(stage.mentor)
    await voice(stage, ada)
    stage.world.clock.jump_to(stage.start + timedelta(minutes=3))
    assert await stage.signaling.hub.sink.flush(10)
    assert await attendance.suspect_no_shows(stage.world.ctx) == 1
    [missing] = (await ada.wait("nudged"))["people"]
    assert (missing["user_id"], missing["name"], missing["minutes"]) == (str(stage.mentee.id), "Ben Okri", 3)
    assert missing["at"].startswith(stage.start.strftime("%Y-%m-%dT%H:03"))
    ben, _ = await stage.enter(stage.mentee)
    assert (await ben.wait("nudged"))["people"] == [missing]
    assert [m for m in await ada.quiet() if m["type"] == "nudged"] == []  # nothing new, nothing said
