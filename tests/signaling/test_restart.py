"""The server dies in the middle of a session and comes back: presence carries on, and nobody is blamed for it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from jobs.watch import Watch
from media import MediaServer
from server.attendance import actions as attendance
from server.attendance import outages, store
from server.attendance.evidence import evidence_in
from server.base.clock import OffsetClock, SteppedClock, SystemClock
from server.base.context import Context
from server.base.db import Pool
from server.demo.session import arrange
from server.people.model import Principal, User
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from server.settings import Settings
from signaling.pulse import Pulse
from tests.jobs.test_worker import visavis
from tests.media.client import OPUS_PT, caller, rtp
from tests.media.client import Client as MediaClient
from tests.support.story import Story, make_story

UP = 40.0  # seconds for a server process to answer on a busy machine


@dataclass
class Elsewhere:
    """What the media client wants to know of a server in another process."""

    port: int


class Caller(MediaClient):
    """A person's media in a room of the server process, joined over its socket."""

    socket: aiohttp.ClientWebSocketResponse

    async def hear(self, type: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await self.socket.receive_str(timeout=10))
            if message["type"] == type:
                return message

    async def join(self) -> str:
        await self.socket.send_json({"type": "offer", "id": "o", "sdp": self.offer()})
        self.answer = (await self.hear("answer"))["sdp"]
        return self.answer


async def enter(http: aiohttp.ClientSession, ctx: Context, who: User, session_id: UUID) -> Caller:
    """Into the room, with sound, as far as the SFU's seeing it."""
    _, token, _ = await sessions.join(ctx, Principal(who.id, who.role), session_id)
    url = f"http://{ctx.settings.host}:{ctx.settings.port}/ws/sessions/{session_id}"
    elsewhere = cast(MediaServer, Elsewhere(ctx.settings.media_port))
    plain = caller(elsewhere, "unused")
    client = Caller(elsewhere, plain.room, plain.participant, plain.peer, plain.sections)
    client.socket = await http.ws_connect(url)
    await client.socket.send_json({"type": "hello", "room_token": token})
    await client.hear("welcome")
    await client.connect()
    for n in range(5):
        client.send(rtp(77, OPUS_PT, n, n * 960, b"opus", mid="0", level=20))
        await asyncio.sleep(0.02)
    return client


@asynccontextmanager
async def serving(environ: dict[str, str], settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`visavis serve` as a process of its own, once it is ready."""
    async with visavis(environ, "serve") as process, aiohttp.ClientSession() as http:
        url = f"http://{settings.host}:{settings.port}/readyz"
        async with asyncio.timeout(UP):
            while True:
                try:
                    async with http.get(url) as reply:
                        if reply.status == 200:
                            break
                except aiohttp.ClientError:
                    assert process.returncode is None
                await asyncio.sleep(0.1)
        yield process


async def rows(pool: Pool, sql: str, *values: object) -> list[asyncpg.Record]:
    return await pool.fetch(sql, *values)


async def open_stays(pool: Pool, count: int) -> None:
    async with asyncio.timeout(10):
        while await pool.fetchval("SELECT count(*) FROM presence_intervals WHERE left_at IS NULL") != count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_server_killed_in_the_middle_of_a_session(
    environ: dict[str, str], settings: Settings, pool: Pool
) -> None:
    """Both are in the room, SIGKILL, a quarter of an hour without a server, both come back to the next one.

    The quarter of an hour is not waited for: everything that the first process wrote is put back by it.
    """
    story = await make_story(pool, SteppedClock(datetime.now(UTC)), settings)
    ctx = Context(pool, SystemClock(), settings)
    start = ctx.clock.now().replace(microsecond=0) - timedelta(minutes=20)
    before = Context(pool, SteppedClock(start - timedelta(minutes=1)), settings)
    end = start + timedelta(hours=1)
    booking = await arrange(before, story.mentor, story.mentee, start, end, "Careers")
    session = booking.session_id
    people = (story.mentor, story.mentee)

    def at(minutes: float) -> Context:
        return Context(pool, SteppedClock(start + timedelta(minutes=minutes)), settings)

    async with aiohttp.ClientSession() as http:
        async with serving(environ, settings) as first:
            for who in people:
                await enter(http, ctx, who, session)
            await open_stays(pool, 2)
            first.send_signal(signal.SIGKILL)
            await first.wait()
        quarter = timedelta(minutes=15)
        await pool.execute("UPDATE server_beats SET beat_at = beat_at - $1::interval", quarter)
        earlier = "joined_at = joined_at - $1::interval, last_seen_at = last_seen_at - $1::interval"
        await pool.execute(f"UPDATE presence_intervals SET {earlier}", quarter)
        # A worker that is up notices; in the outage nobody is written to, though both are missing.
        assert await Watch(ctx).look() and not await Watch(ctx).look()
        for minutes in (8.0, 12.0, 19.0):
            assert await attendance.suspect_no_shows(at(minutes)) == 0
        async with serving(environ, settings) as second:
            for who in people:
                await enter(http, ctx, who, session)
            await open_stays(pool, 2)
            [outage] = await rows(pool, "SELECT * FROM outages")
            assert outage["cause"] == "server_gap"
            assert quarter <= outage["ended_at"] - outage["began_at"] <= quarter + timedelta(seconds=UP)
            stays = await rows(pool, "SELECT * FROM presence_intervals ORDER BY joined_at")
            assert [s["left_reason"] for s in stays] == ["server_lost", "server_lost", None, None]

            # If that were all: they have not met for long enough, and nobody is to blame for it.
            async with pool.acquire() as conn:
                locked = await store.lock_session(conn, session)
                assert locked is not None
                assert (await evidence_in(conn, locked, end)).decide() is Outcome.CANCELLED
            second.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(second.wait(), 30) == 0
    beats = await rows(pool, "SELECT stopped_at FROM server_beats")
    assert len(beats) == 1 and beats[0]["stopped_at"] is not None
    assert await attendance.suspect_no_shows(at(40)) == 0
    # They talk on until the end.
    later = "UPDATE presence_intervals SET last_seen_at = $1, left_at = $1 WHERE peer_id = ANY($2::text[])"
    await pool.execute(later, end, [s["peer_id"] for s in stays[2:]])
    assert await attendance.settle(at(80), session) is Outcome.COMPLETED
    async with pool.acquire() as conn:
        [verdict] = await store.verdicts(conn, session)
    for role in ("mentor", "mentee"):
        assert len(verdict.inputs[role]["intervals"]) == 2  # before and after, each counted once
    assert [o["cause"] for o in verdict.inputs["outages"]] == ["server_gap"]


# ---------------------------------------------------------------- the pulse and the watch by themselves


@pytest.fixture
async def story(pool: Pool, clock: SteppedClock, settings: Settings) -> Story:
    return await make_story(pool, clock, settings)


async def noted(ctx: Context) -> list[tuple[str, float | None]]:
    """(cause, seconds) of every outage, oldest first."""
    page = await outages.listed(ctx)
    return [
        (o.cause.value, (o.ended_at - o.began_at).total_seconds() if o.ended_at else None)
        for o in reversed(page.items)
    ]


async def test_a_process_that_could_not_reach_the_database_says_for_how_long(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    faults: list[str] = []
    pulse = Pulse(story.ctx, lambda: faults, list)
    await pulse.once()
    now = loop.time()

    async def later(seconds: float) -> None:
        nonlocal now
        now += seconds
        story.clock.step(timedelta(seconds=seconds))
        monkeypatch.setattr(loop, "time", lambda: now)
        await pulse.once()
        monkeypatch.undo()

    await later(5)
    story.clock.step(timedelta(days=2))  # a wall clock that is set is no outage
    await later(5)
    assert await noted(story.ctx) == []
    await later(300)
    assert await noted(story.ctx) == [("server_gap", 300)]
    faults.append("closed")
    await later(5)
    await later(5)
    faults.clear()
    await later(5)
    assert await noted(story.ctx) == [("server_gap", 300), ("media_down", 15)]


async def test_one_of_two_processes_dies(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rooms were thrown out, and the other one says so; of one that stopped in order it does not."""
    dead, stopped, alive = (Pulse(story.ctx, list, list) for _ in range(3))
    for pulse in (dead, stopped, alive):
        await pulse.once()
    await stopped.end()
    story.clock.step(timedelta(seconds=31))
    await alive.once()
    await alive.once()
    assert await noted(story.ctx) == [("server_lost", 31)]


async def test_a_watch_is_not_deceived_by_clocks(story: Story) -> None:
    clock, now = OffsetClock(), 0.0
    ctx = Context(story.ctx.pool, clock, story.ctx.settings)
    watch = Watch(ctx, lambda: now)
    assert not await watch.look()  # there has never been a server
    await Pulse(ctx, list, list).once()
    assert not await watch.look()
    clock.offset += timedelta(hours=1)
    now += 20
    assert not await watch.look()  # the clock was set; twenty seconds have passed
    now += 11
    assert await watch.look() and not await watch.look()
    assert await noted(ctx) == [("server_gap", None)]
    await outages.beat(
        ctx, (await ctx.pool.fetchval("SELECT process_id FROM server_beats")), timedelta(seconds=5)
    )
    [(_, seconds)] = await noted(ctx)
    assert seconds is not None and seconds >= 3600
