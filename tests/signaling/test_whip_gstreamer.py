"""GStreamer's webrtcbin (libnice, its own DTLS and RTP) publishes by WHIP and watches by WHEP, where installed."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.signaling.conftest import Stage, until

SCRIPT = Path(__file__).parent.parent / "support" / "gst_client.py"
PYTHON = shutil.which("python3", path="/usr/bin")
PATIENCE = 30.0


@pytest.fixture(scope="module")
def gstreamer() -> None:
    """Skips where the bindings, webrtcbin or libnice are missing, as Debian packages them."""
    inspect = shutil.which("gst-inspect-1.0")
    if PYTHON is not None and inspect is not None:
        bindings = [PYTHON, "-c", "import gi; gi.require_version('GstWebRTC', '1.0')"]
        looks = (bindings, [inspect, "webrtcbin"], [inspect, "nicesrc"])
        if all(
            subprocess.run(look, capture_output=True, timeout=30, check=False).returncode == 0
            for look in looks
        ):
            return
    pytest.skip(
        "GStreamer is not installed: gstreamer1.0-nice, -tools, -plugins-base, -good and -bad, python3-gi,"
        " gir1.2-gst-plugins-bad-1.0"
    )


@dataclass(slots=True)
class Gst:
    process: asyncio.subprocess.Process

    async def until(self, event: str, count: int = 1, **like: str) -> dict[str, object]:
        """Wait for the so-manieth such line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                said: dict[str, object] = json.loads(line)
                assert said["event"] != "error", said
                if said["event"] == event and like.items() <= said.items():
                    count -= 1
                    if not count:
                        return said
        raise AssertionError(f"it ended before {event}")

    async def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert (await self.until("left"))["status"] == 200
        await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def gst(stage: Stage, kind: str, token: str) -> AsyncIterator[Gst]:
    assert PYTHON is not None
    pipe = asyncio.subprocess.PIPE
    url = f"{stage.world.base}/{kind}/{stage.session_id}"
    process = await asyncio.create_subprocess_exec(PYTHON, SCRIPT, kind, url, token, stdin=pipe, stdout=pipe)
    try:
        yield Gst(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.usefixtures("gstreamer")
async def test_gstreamer_on_both_ends(stage: Stage) -> None:
    mentor, mentee = await stage.token(stage.mentor), await stage.token(stage.mentee)
    async with gst(stage, "whip", mentor) as camera, gst(stage, "whep", mentee) as screen:
        await camera.until("connected")
        await until(lambda: stage.signaling.counters.presence_written == 1)
        await screen.until("frame", 15, kind="video")
        await screen.until("frame", 15, kind="audio")
        await camera.leave()
        await until(lambda: stage.signaling.counters.presence_written == 2)
        await screen.leave()
