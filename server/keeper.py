"""Keeps one child process running: started again after a crash, later each time, until told to stop."""

import asyncio
import signal
import time
from collections.abc import Callable

from server.base.log import logger
from server.embedded.process import Child

log = logger(__name__)

_FIRST_DELAY = 0.5  # seconds before the first restart, doubled by each crash
_LONGEST_DELAY = 30.0
_STEADY = 60.0  # a child that lived this long has earned the short delay again


def restart_delay(crashes: int) -> float:
    """Seconds to wait after so many crashes in a row (1 for the first)."""
    doubled: float = _FIRST_DELAY * 2 ** min(crashes - 1, 10)
    return min(_LONGEST_DELAY, doubled)


class Keeper:
    """One child at a time. `run` is a task of the owner's; `stop` lets it end."""

    def __init__(self, name: str, spawn: Callable[[], Child]) -> None:
        self.name = name
        self.exits = 0
        self._spawn = spawn
        self._child: Child | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The present child's process id; None between two children."""
        return None if self._child is None else self._child.pid

    async def run(self) -> None:
        """Start the child, and start it again whenever it ends, until `stop`."""
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            self._child = self._spawn()
            code = await self._child.wait()
            self._child = None
            self.exits += 1
            if self._stopping.is_set():
                return
            crashes = 1 if time.monotonic() - started > _STEADY else crashes + 1
            delay = restart_delay(crashes)
            log.error("child_ended", child=self.name, exit_code=code, restart_in_seconds=delay)
            try:
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def stop(self, *, within: float) -> None:
        """SIGTERM, after `within` seconds SIGKILL; nothing is started any more."""
        self._stopping.set()
        if (child := self._child) is not None:
            code = await child.stop(signal.SIGTERM, within=within)
            if code == -signal.SIGKILL:
                log.warning("child_killed", child=self.name, after_seconds=within)
