"""A real coturn on loopback, in a directory of its own, believing credentials made with its secret."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.embedded.postgres import free_port
from server.settings import Turn
from server.turn import ice_servers
from server.turn.probe import probe

TURNSERVER = shutil.which("turnserver", path="/usr/bin:/usr/local/bin")
needs_coturn = pytest.mark.skipif(
    TURNSERVER is None, reason="coturn is not installed (the distribution's package `coturn`)"
)
SECRET = "a-secret-that-only-we-and-coturn-know"
PATIENCE = 10.0  # seconds to start; normally a quarter of one


@dataclass(frozen=True, slots=True)
class Coturn:
    port: int
    tls_port: int = 0  # 0 without a certificate

    def urls(self, transport: str) -> tuple[str, ...]:
        return (f"turn:127.0.0.1:{self.port}?transport={transport}",)

    def turn(self, transport: str = "udp", secret: str = SECRET, ttl: int = 600) -> Turn:
        """The settings of an installation that uses this server."""
        return Turn(self.urls(transport), secret, ttl)


@contextlib.asynccontextmanager
async def running_coturn(certificate: tuple[Path, Path] | None = None) -> AsyncIterator[Coturn]:
    """Start it, with TLS where a (certificate, key) is given, wait until it relays, stop it."""
    assert TURNSERVER is not None
    directory = Path(tempfile.mkdtemp(prefix="visavis-coturn-"))
    coturn = Coturn(free_port(), free_port() if certificate else 0)
    tls = ["--no-tls"]
    if certificate:
        tls = [
            f"--tls-listening-port={coturn.tls_port}",
            f"--cert={certificate[0]}",
            f"--pkey={certificate[1]}",
        ]
    with (directory / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            TURNSERVER, "-n", "--no-cli", *tls, "--no-dtls", "--no-rfc5780", "--log-file=stdout",
            f"--listening-port={coturn.port}", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1",
            "--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=visavis.test",
            "--allow-loopback-peers", "--relay-threads=1",
            f"--pidfile={directory}/pid", f"--userdb={directory}/turndb",
            cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        await _ready(coturn, process, directory / "log")
        yield coturn
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()
        shutil.rmtree(directory, ignore_errors=True)


async def _ready(coturn: Coturn, process: asyncio.subprocess.Process, log: Path) -> None:
    (server,) = ice_servers(coturn.turn(), "start", datetime.now(UTC))
    fault: str | None = "never asked"
    try:
        async with asyncio.timeout(PATIENCE):
            while fault is not None and process.returncode is None:
                fault = await probe(coturn.urls("udp")[0], server, 1.0)
                await asyncio.sleep(0 if fault is None else 0.05)
    except TimeoutError:
        pass  # told below, with what it said itself
    if fault is not None:
        raise RuntimeError(f"coturn does not answer ({fault}):\n{log.read_text(errors='replace')[-4000:]}")
