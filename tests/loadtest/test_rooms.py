"""Two rooms for a few seconds against the real web process: ICE, DTLS, SRTP, bookings and figures."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest

from loadtest import metrics
from loadtest.__main__ import main
from loadtest.conductor import conduct
from loadtest.options import Load, LoadError

READY_SECONDS = 60.0


@pytest.fixture
async def base(environ: dict[str, str]) -> AsyncIterator[str]:
    """A web process of its own in demo mode, as `visavis serve` starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.cli", "serve", env={**environ, "VISAVIS_DEMO": "1"}
    )
    url = f"http://127.0.0.1:{environ['VISAVIS_PORT']}"
    try:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as http:
            while True:
                assert process.returncode is None, "the web process ended"
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{url}/healthz") as reply:
                        if reply.status == 200:
                            break
                await asyncio.sleep(0.1)
        yield url
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_packets_flow_both_ways_and_none_is_lost(base: str) -> None:
    said: list[str] = []
    load = Load(seconds=3, warmup=0.5, video_kbps=600, fps=20)
    one, two = await conduct(base, (1, 2), load, own_server=False, say=said.append)

    for outcome, rooms in ((one, 1), (two, 2)):
        assert outcome.failures == ()
        assert outcome.rooms == rooms
        assert outcome.lost == 0, outcome
        # Each of two people sends 50 voice packets and at least one packet for each of 20 frames a second.
        assert outcome.sent == outcome.received >= rooms * 2 * 3 * 60
        assert not [text for text in outcome.warnings if "received nothing" in text], (
            "media flowed one way only"
        )
        assert not [text for text in outcome.warnings if "not authentic" in text]
        assert outcome.latency_p50_ms is not None and outcome.latency_max_ms is not None
        assert 0 < outcome.latency_p50_ms <= outcome.latency_max_ms
        assert outcome.join_p50_ms is not None and outcome.join_p50_ms > 0
        assert outcome.server_cpu_seconds is not None and outcome.server_cpu_seconds > 0
        # The server's own count is ours plus its feedback and repairs, less a little at the window's edges.
        assert outcome.server_packets_out_per_second is not None
        counted = outcome.server_packets_out_per_second * outcome.seconds
        assert 0.8 * outcome.received < counted < 2 * outcome.received
        assert outcome.server_us_per_packet is not None and outcome.server_us_per_packet > 0
        assert outcome.server_forward_p99_ms is not None
        assert outcome.feedback["transport_cc"] >= 1
    assert len([text for text in said if "Registering 2 people" in text]) == 2, "sessions were not used again"


async def test_a_server_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(LoadError, match="no usable answer"):
        await conduct(
            "http://127.0.0.1:9", (1,), Load(seconds=1, warmup=0), own_server=False, say=lambda _: None
        )


def test_the_command_refuses_somebody_elses_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rooms", "--url", "http://192.0.2.1:8080", "--rooms", "1"]) == 2
    assert "--i-own-this-server" in capsys.readouterr().err


async def peers_of(base: str) -> float:
    async with aiohttp.ClientSession() as http:
        return (await metrics.read(http, base))["visavis_media_peers", frozenset()]


async def until_peers(base: str, wanted: int) -> None:
    for _ in range(150):
        if await peers_of(base) == wanted:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never {wanted} peers")


async def until_packets(base: str, wanted: int) -> None:
    """Until so many packets have been sent on."""
    out = "visavis_media_packets_total", frozenset({("direction", "out")})
    async with aiohttp.ClientSession() as http:
        for _ in range(300):
            if (await metrics.read(http, base)).get(out, 0) >= wanted:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(f"never {wanted} packets")


async def until_gone(group: int) -> None:
    """Until no process is left in the group; multiprocessing's resource tracker goes a moment after its parent."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):
            os.killpg(group, 0)
            await asyncio.sleep(0.1)


async def test_ctrl_c_leaves_the_rooms(base: str) -> None:
    words = ("rooms", "--url", base, "--rooms", "2", "--seconds", "60")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "loadtest",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        # As under a terminal: who runs the tests in a shell's background has them ignore SIGINT, and all they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        await until_peers(base, 4)
        # Whoever is still shaking hands has no way to say goodbye: 4 people send 280 packets a second.
        await until_packets(base, 800)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and generators alike
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 130, err.decode()
        assert b"Traceback" not in err and b"the rooms are left" in err and out == b""
        # They said goodbye: nobody has to wait for a time-out to see them gone.
        await asyncio.wait_for(until_peers(base, 0), 2)
        await asyncio.wait_for(until_gone(process.pid), 5)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def test_the_command_prints_json(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["rooms", "--url", base, "--rooms", "1", "--seconds", "1", "--warmup", "0", "--json"]
    assert await asyncio.to_thread(main, words) == 0
    [run] = json.loads(capsys.readouterr().out)["runs"]
    assert run["rooms"] == 1 and run["sent"] > 100 and run["lost"] == 0
