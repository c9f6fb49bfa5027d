"""The people of a journey: each has a browser context of their own, in a zone of their own, and does what people do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.journeys.world import World, instant
from tests.support.browsers import close

PASSWORD = "a-long-enough-password"
CONNECT_SECONDS = 20  # a loaded machine; normally below one

# Lets a test read what the page's own connections say about themselves, and gives it a small and slow camera: six
# layers of 720p are too much for a busy machine. The product knows nothing of it.
WATCH_CONNECTIONS = """
  window.__connections = [];
  const Real = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(...args) { super(...args); window.__connections.push(this); }
  };
  const ask = window.MediaDevices?.prototype.getUserMedia;
  if (ask) MediaDevices.prototype.getUserMedia = function (wish) {
    const small = { width: 640, height: 360, frameRate: 15 };
    return ask.call(this, wish?.video ? { ...wish, video: { ...wish.video, ...small } } : wish);
  };
"""

INBOUND = """async () => {
  const open = window.__connections.filter((c) => c.connectionState === "connected").at(-1);
  const total = { framesDecoded: 0, totalAudioEnergy: 0 };
  if (!open) return total;
  for (const report of (await open.getStats()).values()) {
    if (report.type !== "inbound-rtp") continue;
    total.framesDecoded += report.framesDecoded ?? 0;
    total.totalAudioEnergy += report.totalAudioEnergy ?? 0;
  }
  return total;
}"""

# Brightness from 0 to 255: the brightest pixel and the spread tell a picture from a black or an empty one.
PICTURE = """(video) => {
  const canvas = document.createElement("canvas");
  canvas.width = 64; canvas.height = 36;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 64, 36);
  const data = context.getImageData(0, 0, 64, 36).data;
  let low = 255, high = 0;
  for (let i = 0; i < data.length; i += 4) {
    const light = (data[i] + data[i + 1] + data[i + 2]) / 3;
    low = Math.min(low, light); high = Math.max(high, light);
  }
  return { low, high, time: video.currentTime, width: video.videoWidth };
}"""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened between two looks at the clock: all that can be said from outside a browser."""

    earliest: datetime
    latest: datetime

    def is_when(self, told: object, tolerance: float = 2.0) -> bool:
        """Whether the API's instant is that moment, give or take some seconds."""
        slack = timedelta(seconds=tolerance)
        return self.earliest - slack <= instant(told) <= self.latest + slack


@dataclass(slots=True)
class Person:
    """Somebody at a browser."""

    name: str
    email: str
    page: Page
    world: World
    complaints: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        answer = await self.page.goto(self.world.url + path)
        assert answer is not None and answer.ok, (path, answer and answer.status)

    async def register(self, role: str) -> None:
        """Through the form, with the zone the browser stands in."""
        await self.go("/register")
        page = self.page
        await page.locator(f"label.choice-card:has(input[value={role}])").click()
        await page.get_by_label("Your name").fill(self.name)
        await page.get_by_label("Email").fill(self.email)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Create account").click()
        # A mentor is asked for her profile first.
        await page.wait_for_url("**/settings" if role == "mentor" else "**/dashboard")

    async def log_out_and_in(self) -> None:
        page = self.page
        await page.context.clear_cookies()
        await self.go("/login")
        await page.get_by_label("Email").fill(self.email)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/dashboard")

    async def enter_room(self, session_id: str) -> Moment:
        """The pre-join screen, with its preview and level meter, then the room."""
        page = self.page
        await self.go(f"/sessions/{session_id}/room")
        preview = page.get_by_test_id("local-video")
        await expect(preview).to_be_visible()
        await page.wait_for_function("(v) => v.videoWidth > 0", arg=await preview.element_handle())
        await expect(page.get_by_test_id("level-meter")).to_be_visible()
        assert await page.get_by_label("Camera", exact=True).locator("option").count() >= 1
        return await self.join()

    async def join(self) -> Moment:
        """From the pre-join screen into the room; when that was."""
        before = self.world.now()
        await self.page.get_by_test_id("join").click()
        await self.page.wait_for_function(
            "() => window.__connections.some((c) => c.connectionState === 'connected')",
            timeout=CONNECT_SECONDS * 1000,
        )
        return Moment(before, self.world.now())

    async def sees_and_hears(self) -> None:
        """The other's video advances and is a picture, and there is sound."""
        page = self.page
        video = page.get_by_test_id("remote-video").first
        await expect(video).to_be_visible(timeout=CONNECT_SECONDS * 1000)
        handle = await video.element_handle()
        await page.wait_for_function(
            "(v) => v.videoWidth > 0 && v.currentTime > 0", arg=handle, timeout=20_000
        )
        first: dict[str, Any] = await page.evaluate(INBOUND)
        before: dict[str, Any] = await page.evaluate(PICTURE, handle)
        await page.wait_for_function(
            "([v, t]) => v.currentTime > t + 1", arg=[handle, before["time"]], timeout=20_000
        )
        await page.wait_for_function(
            f"async ([frames, energy]) => {{ const s = await ({INBOUND})();"
            " return s.framesDecoded > frames + 5 && s.totalAudioEnergy > energy; }",
            arg=[first["framesDecoded"], 0],
            timeout=20_000,
        )
        # The fake camera's green ground is 44 and its disc up to 115, less when coded coarsely; black is below 16.
        # The disc is drawn round and round: for a moment there is next to nothing of it.
        await page.wait_for_function(
            f"(v) => {{ const p = ({PICTURE})(v); return p.high > 60 && p.high - p.low > 20; }}",
            arg=handle,
            timeout=20_000,
        )

    async def says(self, text: str) -> None:
        if not await self.page.get_by_test_id("chat-input").is_visible():
            await self.page.get_by_test_id("chat-toggle").click()
        await self.page.get_by_test_id("chat-input").fill(text)
        await self.page.get_by_test_id("chat-send").click()

    async def reads(self, *texts: str) -> None:
        """Exactly these messages, in this order."""
        messages = self.page.get_by_test_id("chat-message")
        await expect(messages).to_contain_text(list(texts))
        await expect(messages).to_have_count(len(texts))

    async def leave(self) -> Moment:
        """Hang up; when that was."""
        await self.page.get_by_test_id("leave").click()
        before = self.world.now()
        await self.page.get_by_test_id("leave-confirm").click()
        await expect(self.page.get_by_test_id("ended")).to_be_visible()
        return Moment(before, self.world.now())


@contextlib.asynccontextmanager
async def person(browser: Browser, world: World, name: str, zone: str) -> AsyncIterator[Person]:
    """Somebody in a fresh browser context; what their pages complain about fails the test at the end."""
    context = await browser.new_context(
        timezone_id=zone, permissions=["camera", "microphone"], viewport={"width": 1280, "height": 800}
    )
    await context.add_init_script(WATCH_CONNECTIONS)
    page = await context.new_page()
    somebody = Person(name, f"{name.split()[0].lower()}@example.com", page, world)

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            somebody.complaints.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: somebody.complaints.append(str(error)))
    try:
        yield somebody
        assert not somebody.complaints, f"{name}'s browser complained: {somebody.complaints}"
    finally:
        await close(context)
