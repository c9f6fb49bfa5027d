"""A throw-away server for `make bench`: embedded, in a temporary directory, on free ports, gone afterwards."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from loadtest.options import LoadError

START_SECONDS = 120.0  # a first initdb on a slow disk, migrations, demo data
STOP_SECONDS = 40.0


@contextlib.asynccontextmanager
async def throw_away_server() -> AsyncIterator[str]:
    """The base URL of a running server of our own. Raises LoadError, with the end of its log, if it does not start."""
    directory = _directory()
    try:
        port, media_port = _free_ports()
        with (directory / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.cli", "up",
                "--host", "127.0.0.1", "--port", str(port), "--media-port", str(media_port),
                "--data-dir", str(directory / "var"),
                env=_environment(), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                # Its own group: Ctrl-C is for us, and we stop it when the rooms are left.
                start_new_session=True,
            )  # fmt: skip
        try:
            base = f"http://127.0.0.1:{port}"
            await _until_ready(base, process, directory / "log")
            yield base
        finally:
            await asyncio.shield(_stop(process))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="visavis-bench-"))
    # Under root PostgreSQL runs as another user, who must be able to pass through.
    directory.chmod(0o711)
    return directory


def _environment() -> dict[str, str]:
    """The developer's environment without what would point this server at his own data."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VISAVIS_")}
    return kept | {"VISAVIS_LOG_FORMAT": "json"}


def _free_ports() -> tuple[int, int]:
    """(TCP, TCP and UDP): held open together, so that they differ."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


async def _until_ready(base: str, process: asyncio.subprocess.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{base}/readyz") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise LoadError(f"The server was not ready after {START_SECONDS:.0f} s:\n{_tail(log)}") from None
    raise LoadError(f"The server did not start:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
