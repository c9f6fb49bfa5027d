"""`visavis up` as a person runs it: one command, everything up, everything gone afterwards."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from jobs.outbox import MAX_ATTEMPTS
from server.base.db import Conn
from server.base.facts import encode
from server.base.ids import new_id
from server.embedded.postgres import free_port
from server.endpoints import Endpoints
from server.notifications.model import ReplyReceived
from server.settings import load_settings
from tests.support.processes import open_pid, read_until, wait_for_end

START_SECONDS = 60.0
STOP_SECONDS = 40.0


@dataclass(slots=True)
class Up:
    """A running `visavis up`: what it said so far, and whom it runs."""

    process: asyncio.subprocess.Process
    url: str
    said: str
    pids: dict[str, int]


def command(directory: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "server.cli", "up", "--data-dir", str(directory / "var"), *words]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_")}
    return kept | {"VISAVIS_LOG": "json", "VISAVIS_SHUTDOWN_SECONDS": "3"}


async def launch(directory: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command(directory, *words),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def events(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


@asynccontextmanager
async def running(directory: Path, *words: str) -> AsyncIterator[Up]:
    port = free_port()
    media_port = next(p for p in iter(free_port, None) if p != port)
    process = await launch(directory, "--port", str(port), "--media-port", str(media_port), *words)
    assert process.stdout is not None
    try:
        said = await read_until(process.stdout, "Ctrl-C stops everything", START_SECONDS)
        [started] = [event for event in events(said) if event["event"] == "up"]
        pids = {name: started[name] for name in ("web", "worker")}
        # Nobody may wait for us to read: the rest is drained by a task with the test as its owner.
        drained = asyncio.create_task(process.stdout.read())
        yield Up(process, started["url"], said, pids)
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
            await drained
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def healthy(url: str) -> bool:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as client,
        client.get(f"{url}/healthz") as response,
    ):
        return response.status == 200


async def metrics_tell_of_the_worker(up: Up, conn: Conn) -> None:
    """What the worker has done is at the web process's /metrics, although it is another process."""
    assert up.pids["web"] != up.pids["worker"]
    event = new_id()
    await conn.execute(
        "INSERT INTO provider_events (id, channel, event_key, kind, provider_message_id, sender, body, received_at,"
        " handed_at) VALUES ($1, 'whatsapp', 'wamid.1', 'reply', 'wamid.1', '+15550100009', 'Hello', $2, $2)",
        event, datetime.now(UTC),
    )  # fmt: skip
    reply = encode(ReplyReceived(None, datetime.now(UTC), event))
    # Somebody's reply whom we do not know, and a fact of another release at its last attempt.
    for kind, data, attempts in ((ReplyReceived.KIND, reply, 0), ("from_the_future", {}, MAX_ATTEMPTS - 1)):
        await conn.execute(
            "INSERT INTO facts (kind, at, data, attempts, next_attempt_at) VALUES ($1, $2, $3, $4, $2)",
            kind, datetime.now(UTC), json.dumps(data), attempts,
        )  # fmt: skip
    undone = (
        "SELECT (SELECT count(*) FROM facts WHERE handled_at IS NULL)"
        " + (SELECT count(*) FROM job_runs WHERE finished_at IS NULL)"
        " + (SELECT (count(*) = 0)::int FROM job_runs WHERE job = 'reminders')"
    )
    async with asyncio.timeout(START_SECONDS):
        while await conn.fetchval(undone):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.1)
    runs = await conn.fetch("SELECT job, count(*) AS n FROM job_runs WHERE result = 'ok' GROUP BY 1")
    async with aiohttp.ClientSession() as client, client.get(f"{up.url}/metrics") as response:
        text = await response.text()
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(told["visavis_outbox_pending"]) == 0
    assert float(told["visavis_dead_letters"]) == 1
    assert float(told['visavis_replies_total{result="stranger"}']) == 1
    for job, count in runs:  # another tick may have been run since
        assert float(told[f'visavis_job_runs_total{{job="{job}",result="ok"}}']) >= count
        assert float(told[f'visavis_job_seconds_sum{{job="{job}"}}']) > 0
        assert float(told[f'visavis_job_lateness_seconds{{job="{job}"}}']) >= 0


async def test_it_starts_says_where_and_stops_in_order(open_directory: Path) -> None:
    async with running(open_directory) as up:
        assert re.search(r"running at http://127\.0\.0\.1:\d+\n", up.said)
        for role in ("admin", "mentor", "mentee"):
            assert re.search(rf"{role} +{role}@demo\.visavis\.test +visavis-demo", up.said)
        assert await healthy(up.url)
        # A second terminal finds everything without being told.
        settings = load_settings({"VISAVIS_DATA_DIR": str(open_directory / "var")})
        assert (settings.public_url, settings.demo) == (up.url, True)
        conn = await asyncpg.connect(settings.database_url)
        assert await conn.fetchval("SELECT count(*) FROM users") > 3
        users = await conn.fetchval("SELECT count(*) FROM users")
        await metrics_tell_of_the_worker(up, conn)
        await conn.close()
        ends = [open_pid(pid) for pid in up.pids.values()]
        up.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOP_SECONDS):
            assert await up.process.wait() == 0
        assert wait_for_end(ends, timeout=1) == 0
    assert Endpoints.read(open_directory / "var") is None

    async with running(open_directory) as up:  # the second time the data are kept, and not loaded twice
        conn = await asyncpg.connect(
            load_settings({"VISAVIS_DATA_DIR": str(open_directory / "var")}).database_url
        )
        assert await conn.fetchval("SELECT count(*) FROM users") == users
        await conn.close()


async def test_a_killed_web_process_comes_back(open_directory: Path) -> None:
    async with running(open_directory, "--no-demo") as up:
        assert "visavis-demo" not in up.said
        end = open_pid(up.pids["web"])
        os.kill(up.pids["web"], signal.SIGKILL)
        wait_for_end([end], timeout=5)
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    assert await healthy(up.url)
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.1)  # nothing tells an outsider that a port is open but trying
        assert up.process.returncode is None


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
async def test_killing_it_leaves_nothing_running(open_directory: Path) -> None:
    async with running(open_directory, "--no-demo") as up:
        postmaster = open_directory / "var" / "postgres" / "cluster" / "postmaster.pid"
        pids = [*up.pids.values(), int(postmaster.read_text().split()[0])]
        ends = [open_pid(pid) for pid in pids]
        up.process.kill()
        await up.process.wait()
        assert await asyncio.to_thread(wait_for_end, ends, 15.0) == 0


async def test_a_second_one_is_refused(open_directory: Path) -> None:
    async with running(open_directory, "--no-demo") as up:
        second = await launch(open_directory, "--port", str(free_port()))
        async with asyncio.timeout(START_SECONDS):
            said, _ = await second.communicate()
        assert second.returncode == 1
        assert f"pid {up.process.pid}" in said.decode()
        assert "Traceback" not in said.decode()
        assert await healthy(up.url)


async def test_a_taken_port_is_named(open_directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await launch(open_directory, "--port", str(port), "--media-port", str(free_port()))
        async with asyncio.timeout(START_SECONDS):
            said, _ = await process.communicate()
    assert process.returncode == 1
    assert f"TCP port {port}" in said.decode()
    assert "--port" in said.decode()
    assert "Traceback" not in said.decode()


async def test_a_data_directory_that_cannot_be_is_named(open_directory: Path) -> None:
    (open_directory / "var").write_text("a file")
    process = await launch(open_directory)
    async with asyncio.timeout(START_SECONDS):
        said, _ = await process.communicate()
    assert process.returncode == 1
    assert str(open_directory / "var") in said.decode()
    assert "Traceback" not in said.decode()


async def test_it_stops_also_while_it_starts(open_directory: Path) -> None:
    process = await launch(open_directory, "--port", str(free_port()), "--media-port", str(free_port()))
    async with asyncio.timeout(START_SECONDS):
        # The file is the first thing an outsider can see.
        while not (open_directory / "var" / "visavis.lock").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        process.terminate()
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "Traceback" not in said.decode()


async def test_https_with_a_certificate_of_its_own(open_directory: Path) -> None:
    async with running(open_directory, "--no-demo", "--tls", "self-signed") as up:
        assert up.url.startswith("https://127.0.0.1:")
        assert await healthy(up.url)
        assert (open_directory / "var" / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600
