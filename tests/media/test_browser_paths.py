"""Real Chromium over TCP where UDP is blocked, by its own policy or by a packet filter around it; and over IPv6."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, async_playwright

from media import LeaveReason, PeerJoined, PeerLeft
from tests.conftest import CHROMIUM, CHROMIUM_ARGS
from tests.media.conftest import MakeWorld, World
from tests.media.page import application
from tests.media.test_browser import AUDIO_HEARD, VIDEO_RUNS, join, open_page, until
from tests.media.test_families import needs_ipv6

pytestmark = pytest.mark.browser

_numbers = itertools.count(1)


@asynccontextmanager
async def browser(*args: str, executable: str = CHROMIUM) -> AsyncIterator[Browser]:
    """A Chromium of our own, with more arguments or in another place than the shared one."""
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=executable, args=[*CHROMIUM_ARGS, *sandbox, *args]
        )
        try:
            yield launched
        finally:
            await launched.close()


@asynccontextmanager
async def site(world: World, host: str) -> AsyncIterator[str]:
    runner = web.AppRunner(application(world.server))
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def a_call_comes_up_over_tcp(world: World, chromium: Browser, address: str) -> None:
    """Picture and sound both ways, on a pair that getStats calls TCP; goodbyes arrive as over UDP."""
    ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
    await join(ann, "ann")
    await join(zoe, "zoe")
    for page in (ann, zoe):
        report = await until(page, f"{VIDEO_RUNS} && {AUDIO_HEARD} && r.pair")
        assert {report["local"]["protocol"], report["remote"]["protocol"]} == {"tcp"}
        assert report["remote"]["tcpType"] == "passive"
    assert {e.participant_id for e in world.all(PeerJoined)} == {"ann", "zoe"}
    drops = world.server.counters().drops
    assert not {"tcp_garbage", "tcp_not_a_check", "tcp_frame_too_long", "tcp_stuck"} & drops.keys()
    await zoe.evaluate("pcs.pc.pc.close()")
    await world.until(lambda: bool(world.all(PeerLeft)))
    assert world.all(PeerLeft)[0].reason is LeaveReason.DTLS_CLOSE


async def test_a_browser_that_may_not_use_udp(world: World) -> None:
    async with (
        browser("--webrtc-ip-handling-policy=disable_non_proxied_udp") as chromium,
        site(world, "127.0.0.1") as address,
    ):
        await a_call_comes_up_over_tcp(world, chromium, address)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def namespace() -> Iterator[tuple[str, str]]:
    """A network namespace on a cable: its name, and our address as seen from it. Skips the test where that is not
    permitted."""
    if missing := [tool for tool in ("ip", "iptables") if shutil.which(tool) is None]:
        pytest.skip(f"no network namespaces here: {', '.join(missing)} not installed")
    number = next(_numbers)
    name, cable = f"visavis-{os.getpid()}-{number}", f"vv{os.getpid()}-{number}"
    # Of the benchmarking network (RFC 2544), which nobody routes; another pair for each test, also of other processes,
    # because a deleted cable lives on for a while.
    ours, theirs = (f"198.18.{os.getpid() % 256}.{number % 63 * 4 + end}" for end in (1, 2))
    inside = ("ip", "-n", name)
    try:
        _run("ip", "netns", "add", name)
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        try:
            _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "inside", "netns", name)
            _run("ip", "addr", "add", f"{ours}/30", "dev", cable)
            _run("ip", "link", "set", cable, "up")
            _run(*inside, "addr", "add", f"{theirs}/30", "dev", "inside")
            for device in ("inside", "lo"):
                _run(*inside, "link", "set", device, "up")
            _run("ip", "netns", "exec", name, "iptables", "-L")
        except OSError as error:
            pytest.skip(f"no network namespaces here: {error}")
        yield name, ours
    finally:
        _run("ip", "netns", "del", name)  # and with it the cable


def build_wall(name: str) -> None:
    """From now on the namespace's packet filter drops UDP in both directions."""
    for chain in ("INPUT", "OUTPUT"):
        _run("ip", "netns", "exec", name, "iptables", "-A", chain, "-p", "udp", "-j", "DROP")


def dropped_udp(name: str) -> int:
    """Packets that met the wall."""
    shown = subprocess.run(
        ("ip", "netns", "exec", name, "iptables", "-vnxL"),
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return sum(int(line.split()[0]) for line in shown.stdout.splitlines() if " DROP " in line)


@asynccontextmanager
async def inside(name: str, ours: str, address: str, directory: Path) -> AsyncIterator[Browser]:
    """A Chromium in the namespace."""
    script = directory / "chromium"
    script.write_text(f'#!/bin/sh\nexec ip netns exec {name} {CHROMIUM} "$@"\n')
    script.chmod(0o755)
    async with browser(
        f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {ours}",
        f"--unsafely-treat-insecure-origin-as-secure={address}",
        executable=str(script),
    ) as chromium:
        yield chromium


async def test_a_network_that_drops_udp(make_world: MakeWorld, tmp_path: Path) -> None:
    with namespace() as (name, ours):
        build_wall(name)
        world = await make_world(host=ours, addresses=(ours,))
        async with site(world, ours) as address, inside(name, ours, address, tmp_path) as chromium:
            await a_call_comes_up_over_tcp(world, chromium, address)
        assert dropped_udp(name) > 0  # it did try


async def test_a_network_that_begins_to_drop_udp(make_world: MakeWorld, tmp_path: Path) -> None:
    """In the middle of a call: an ICE restart takes it to TCP, and nobody has left or shaken hands anew."""
    with namespace() as (name, ours):
        world = await make_world(host=ours, addresses=(ours,), media_silence_seconds=30.0)
        async with site(world, ours) as address, inside(name, ours, address, tmp_path) as chromium:
            page = await open_page(chromium, address)
            await join(page, "ann", options={"slots": 0})
            report = await until(page, "r.pair && r.outbound['1'] && r.outbound['1'].framesSent > 30")
            assert report["remote"]["protocol"] == "udp"
            fingerprint = "pcs.pc.pc.remoteDescription.sdp.match(/a=fingerprint.*/)[0]"
            before = await page.evaluate(fingerprint)
            build_wall(name)
            over_tcp = "r.pair && r.pair.state === 'succeeded' && r.remote.protocol === 'tcp'"
            for _ in range(3):  # as the room's page does: again, where the first one did not help
                await page.evaluate("negotiate('pc', {iceRestart: true})")
                waiting = "expression => until('pc', expression, 12000).then(() => true, () => false)"
                if await page.evaluate(waiting, over_tcp):
                    break
            await until(page, over_tcp)
            received = world.server.counters().packets_in
            await world.until(lambda: world.server.counters().packets_in > received + 100)
            assert await page.evaluate(fingerprint) == before
            assert world.all(PeerLeft) == [] and len(world.all(PeerJoined)) == 1


@needs_ipv6
async def test_a_call_over_ipv6(make_world: MakeWorld, chromium: Browser) -> None:
    world = await make_world(host="::", addresses=("::1",))
    async with site(world, "127.0.0.1") as address:
        ann, zoe = await open_page(chromium, address), await open_page(chromium, address)
        await join(ann, "ann")
        await join(zoe, "zoe")
        for page in (ann, zoe):
            report = await until(page, f"{VIDEO_RUNS} && {AUDIO_HEARD} && r.pair")
            assert (report["remote"]["address"], report["remote"]["protocol"]) == ("::1", "udp")
