"""One LISTEN connection of a process: hears what others NOTIFY, and says so when it may have missed something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
CHECK_SECONDS = 20.0  # between questions that notice a connection which died without a word
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between tries to connect


class Listener:
    """``heard`` gets each payload; ``gap`` is called after every connect, also the first: nothing was heard before.

    Both are called on the loop, in order, and must not wait. `run` never ends by itself.
    """

    def __init__(self, url: str, channel: str, heard: Callable[[str], None], gap: Callable[[], None]) -> None:
        self._url = url
        self._channel = channel
        self._heard = heard
        self._gap = gap
        self.connected = asyncio.Event()

    async def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self._listen()
                pause = FIRST_PAUSE
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.warning("not_listening", channel=self._channel, error=repr(error))
            finally:
                lost = self.connected.is_set()
                self.connected.clear()
            pause = FIRST_PAUSE if lost else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _listen(self) -> None:
        """Until the connection ends."""
        conn = await asyncpg.connect(
            self._url,
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"application_name": "visavis listening"},
        )
        ended = asyncio.Event()
        try:
            conn.add_termination_listener(lambda _conn: ended.set())
            await conn.add_listener(
                self._channel, lambda _conn, _pid, _channel, payload: self._heard(str(payload))
            )
            self._gap()
            self.connected.set()
            while not ended.is_set():
                try:
                    async with asyncio.timeout(CHECK_SECONDS):
                        await ended.wait()
                except TimeoutError:
                    await conn.execute("SELECT 1")
        finally:
            conn.terminate()
