"""Alive, ready, measured; and what happens when a part is away or the process is told to stop."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

from aiohttp import ClientSession, ClientTimeout, ClientWebSocketResponse
from aiohttp.test_utils import TestServer

from server.app import MEDIA, listening, running
from server.base.clock import OffsetClock
from server.embedded.postgres import free_port
from server.people.model import Role
from server.settings import Settings
from tests.web.conftest import NOW, PASSWORD, Client, World, hour, open_hours
from web.context import CONTEXT

NAMES = (
    "visavis_http_request_seconds", "visavis_ws_connections", "visavis_media_rooms", "visavis_media_peers",
    "visavis_media_packets_total", "visavis_media_bytes_total", "visavis_media_drops_total",
    "visavis_media_forward_seconds", "visavis_job_runs_total", "visavis_job_seconds", "visavis_job_lateness_seconds",
    "visavis_outbox_pending", "visavis_dead_letters",
)  # fmt: skip


async def test_alive_and_ready(world: World) -> None:
    assert (await world.nobody.get("//healthz")).json == {"status": "ok"}
    reply = await world.nobody.get("//readyz")
    assert reply.status == 200 and reply.json["failing"] == []
    assert set(reply.json["checks"]) == {"database", "redis", "media_port", "migrations"}


async def failing(client: Client) -> list[str]:
    reply = await client.get("//readyz")
    assert (await client.get("//healthz")).status == 200
    assert (reply.status == 503) == bool(reply.json["failing"])
    named: list[str] = reply.json["failing"]
    return named


async def test_not_ready_names_the_broken_part(world: World) -> None:
    async with world.ctx.pool.acquire() as conn:
        await conn.execute("DELETE FROM schema_migrations")
    assert await failing(world.nobody) == ["migrations"]
    await world.app[MEDIA].close()
    assert await failing(world.nobody) == ["migrations", "media_port"]
    await world.ctx.pool.close()
    assert await failing(world.nobody) == ["database", "migrations", "media_port"]
    # The figures of the others are still there.
    assert "visavis_media_rooms 0.0" in (await world.nobody.get("//metrics")).text


async def test_without_redis_programs_go_on(web_settings: Settings) -> None:
    """Bearer calls work, limits let everybody pass, only cookie logins say 503."""
    away = replace(web_settings, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    clock = OffsetClock()
    async with running(away, clock=clock) as app, TestServer(app) as server, ClientSession() as session:
        nobody = Client(session, f"http://{server.host}:{server.port}")
        assert await failing(nobody) == ["redis"]
        body = {
            "email": "a@example.org",
            "password": PASSWORD,
            "name": "A",
            "role": "mentee",
            "timezone": "UTC",
        }
        made = await nobody.post("/auth/register", body)
        assert made.status == 201, made.text
        program = replace(nobody, token=made.json["access_token"])
        assert (await program.get("/wallet")).json["balance_tokens"] == 100
        by_cookie = await nobody.get("/me", Cookie="visavis=something")
        assert (by_cookie.status, by_cookie.json["code"]) == (503, "logins_unavailable")
        assert (await nobody.get("//login", Cookie="visavis=something")).status == 503


async def test_metrics_have_their_published_names(world: World) -> None:
    now = world.clock.now()
    async with world.ctx.pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO job_runs (id, job, scheduled_for, started_at, heartbeat_at, finished_at, result)"
            " VALUES (gen_random_uuid(), 'reminders', $1, $2, $2, $3, 'ok')",
            now, now + timedelta(seconds=3), now + timedelta(seconds=5),
        )  # fmt: skip
    await world.nobody.get("/mentors?q=one")
    await world.nobody.get("/mentors/0198c1f4-0000-7000-8000-000000000000")
    await world.nobody.get("//no/such/path/1")
    reply = await world.nobody.get("//metrics")
    assert reply.headers["Content-Type"].startswith("text/plain")
    exposed = set(re.findall(r"^# TYPE (\S+)", reply.text, re.MULTILINE))
    assert set(NAMES) <= exposed
    assert 'visavis_job_runs_total{job="reminders",result="ok"} 1.0' in reply.text
    assert 'visavis_job_lateness_seconds{job="reminders"} 3.0' in reply.text
    assert 'visavis_job_seconds_sum{job="reminders"} 2.0' in reply.text
    assert 'visavis_media_forward_seconds_bucket{le="+Inf"} 0.0' in reply.text
    assert 'visavis_media_packets_total{direction="in"}' in reply.text
    # Templates, not what people typed.
    assert 'route="/api/v1/mentors/{id}"' in reply.text and 'route="unmatched"' in reply.text
    assert "0198c1f4" not in reply.text and "/no/such" not in reply.text


async def test_stopping_says_goodbye_to_the_people_in_a_room(web_settings: Settings) -> None:
    clock = OffsetClock()
    clock.jump_to(NOW)
    settings = replace(web_settings, shutdown_seconds=5.0)
    async with running(settings, clock=clock) as app, ClientSession() as session:
        async with listening(app, settings) as base:
            world = World(app, base, app[CONTEXT], clock, session)
            made = await world.people(Role.MENTOR, 1) + await world.people(Role.MENTEE, 1, tokens=100)
            mentor, mentee = made
            await open_hours(mentor)
            booked = (await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(0, 10)})).json
            await mentor.post(f"/bookings/{booked['id']}/approve")
            clock.jump_to(NOW + timedelta(minutes=55))
            mentee = await world.fresh(mentee)
            joined = await mentee.post(f"/sessions/{booked['session_id']}/join")
            assert joined.status == 200, joined.text
            assert joined.json["ws_url"].startswith(base.replace("http", "ws"))
            socket = await session.ws_connect(joined.json["ws_url"])
            await socket.send_json({"type": "hello", "room_token": joined.json["room_token"]})
            first = await socket.receive_json(timeout=10)
            assert first["type"] == "welcome", first
            text = (await mentee.get("//metrics")).text
            assert "visavis_ws_connections 1.0" in text
            heard = asyncio.create_task(_listen(socket))
        assert await heard == {"type": "goodbye", "reason": "draining"}
        assert socket.close_code == 1001


async def _listen(socket: ClientWebSocketResponse) -> Any:
    """The last message before the socket closes."""
    last = None
    async with asyncio.timeout(20):
        async for frame in socket:
            last = frame.json()
    return last


async def test_the_process_serves_and_stops_on_sigterm(environ: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from server.cli import main; raise SystemExit(main(['serve']))",
        env={**environ, "VISAVIS_LOG": "json"}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b'"serving"' not in (line := await process.stderr.readline()):
                assert line, "ended before it served"
            async with ClientSession(timeout=ClientTimeout(10)) as session:
                address = f"http://127.0.0.1:{environ['VISAVIS_PORT']}"
                async with session.get(
                    f"{address}/api/v1/mentors", headers={"X-Request-Id": "from-a-test"}
                ) as response:
                    assert response.status == 200
            process.send_signal(signal.SIGTERM)
            log = await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b'"request_id": "from-a-test"' in log and b"Traceback" not in log
