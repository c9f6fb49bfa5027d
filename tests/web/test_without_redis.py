"""Redis is stopped under a running product and started again, empty: programs notice nothing, people are told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import ClientSession, CookieJar, TCPConnector
from aiohttp.test_utils import TestServer

from jobs.worker import POOL_SIZE, Worker
from server.app import running
from server.base.clock import OffsetClock, SystemClock
from server.base.context import Context
from server.base.db import create_pool
from server.embedded.redis import start_redis
from server.integrations.channels import Channels
from server.people.model import Role
from server.settings import Settings
from tests.web.conftest import PASSWORD, World
from web.context import CONTEXT


async def test_redis_goes_and_comes_back_empty(settings: Settings, open_directory: Path) -> None:
    redis = await start_redis(open_directory, durable=False)
    settings = replace(settings, redis_url=redis.url, media_port=0)
    clock = OffsetClock()
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(running(settings, clock=clock))
        server = TestServer(app)
        await server.start_server()
        stack.push_async_callback(server.close)
        base = str(server.make_url("")).rstrip("/")
        http = await stack.enter_async_context(
            ClientSession(cookie_jar=CookieJar(unsafe=True), connector=TCPConnector(limit=20))
        )
        world = World(app, base, app[CONTEXT], clock, http)
        mentor = await world.person(Role.MENTOR)
        mentee = await world.person(Role.MENTEE, tokens=100)
        await world.give_password(mentee)
        always = [{"weekday": day, "start": "00:00", "end": "24:00"} for day in range(7)]
        availability = {"timezone": "UTC", "weekly": always, "slot_minutes": 60, "min_notice_minutes": 0}
        assert (await mentor.call("PUT", "/me/availability", availability)).status == 200

        assert mentee.user is not None
        email = mentee.user.email
        pool = await stack.enter_async_context(await create_pool(settings.database_url, max_size=POOL_SIZE))
        worker = Worker(Context(pool, SystemClock(), settings), Channels(inbox=True), settings.redis_url)
        working = asyncio.create_task(worker.run())

        async def page(path: str, **fields: str) -> tuple[int, str]:
            method = "POST" if fields else "GET"
            origin = {"Origin": settings.public_url}
            async with http.request(
                method, base + path, data=fields or None, headers=origin, allow_redirects=False
            ) as it:
                return it.status, await it.text()

        async def log_in() -> int:
            _, form = await page("/login")
            token = form.partition('name="csrf_token" value="')[2].partition('"')[0]
            return (
                await page("/login", csrf_token=token, email=email, password=PASSWORD, next="/dashboard")
            )[0]

        async def told(kind: str) -> None:
            async with asyncio.timeout(20):
                while not await pool.fetchval(  # noqa: ASYNC110 - the database has no event for this
                    "SELECT count(*) FROM notifications WHERE kind = $1", kind
                ):
                    await asyncio.sleep(0.1)

        assert await log_in() == 303
        assert (await page("/dashboard"))[0] == 200
        port = urlsplit(redis.url).port
        await redis.stop()

        # Programs: a login, a booking, everything about it; limits let pass and are counted.
        entered = await world.nobody.post("/auth/login", {"email": email, "password": PASSWORD})
        assert entered.status == 200
        start = (world.clock.now() + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
        wish = {
            "mentor_id": str(mentor.id),
            "start": start.isoformat(),
            "end": (start + timedelta(hours=1)).isoformat(),
        }
        booked = await mentee.post("/bookings", wish)
        assert booked.status == 201, booked.text
        assert (await mentor.post(f"/bookings/{booked.json['id']}/approve")).status == 200
        await told("booking_approved")
        figures = (await world.nobody.get("//metrics")).text
        assert float(figures.partition("\nvisavis_rate_limit_uncounted_total ")[2].split()[0]) >= 2
        ready = await world.nobody.get("//readyz")
        assert (ready.status, ready.json["failing"]) == (503, ["redis"])

        # People: what needs a login says why there is none, what does not is shown; no stack trace anywhere.
        for path in ("/dashboard", "/login"):
            status, text = await page(path)
            assert status == 503 and "Logins cannot be checked at the moment" in text
        assert (await page("/mentors"))[0] == 200
        async with http.get(f"{base}/api/v1/me") as answer:
            assert answer.status == 503 and (await answer.json())["code"] == "logins_unavailable"
            assert int(answer.headers["Retry-After"]) > 0

        again = await start_redis(open_directory, durable=False, port=port)
        stack.push_async_callback(again.stop)
        async with asyncio.timeout(20):
            while (await page("/dashboard"))[0] == 503:  # noqa: ASYNC110 - there is only asking
                await asyncio.sleep(0.1)
        assert (await page("/dashboard"))[0] == 303  # wiped: log in again
        assert await log_in() == 303
        assert (await page("/dashboard"))[0] == 200
        assert (await mentee.post(f"/bookings/{booked.json['id']}/cancel", {"reason": "ill"})).status == 200
        await told("booking_cancelled")
        assert not working.done()
        worker.stop()
        await asyncio.wait_for(working, 20)
