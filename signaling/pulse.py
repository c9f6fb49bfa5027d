"""Says every few seconds that people can meet here, so that a silence can be told from people who stayed away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from server.attendance import outages
from server.base.context import Context
from server.base.ids import new_id
from signaling.presence import MISSED

log = structlog.get_logger(__name__)

BEAT_TIMEOUT = 10.0  # seconds; a database that takes longer is away, and the gap that follows says so
Visitor = tuple[UUID, str, UUID]  # (room, connection, person) of an open socket


class Pulse:
    """A process's heartbeat, and with it who has a socket open. The owner task is `run`.

    The gap between two beats is measured by the event loop's clock: a wall clock that is set is no outage.
    """

    def __init__(
        self,
        ctx: Context,
        faults: Callable[[], Sequence[str]],
        visitors: Callable[[], Sequence[Visitor]],
        *,
        seconds: float = outages.BEAT,
    ) -> None:
        self._ctx = ctx
        self._faults = faults
        self._visitors = visitors
        self._seconds = seconds
        self._process = new_id()
        self._beaten: float | None = None  # loop time of the last beat that was written

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.once()
            await asyncio.sleep(self._seconds)

    async def once(self) -> None:
        """One beat, if the media port is well. Trouble with the database is for the next one to report."""
        now = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BEAT_TIMEOUT):
                if faults := self._faults():
                    log.warning("media_port_down", faults=list(faults))
                    await outages.media_down(self._ctx, timedelta(seconds=now - (self._beaten or now)))
                    return
                if self._beaten is None:
                    await outages.begin(self._ctx, self._process)
                else:
                    await outages.beat(self._ctx, self._process, timedelta(seconds=now - self._beaten))
                self._beaten = now
                await outages.note_visits(self._ctx, self._visitors())
        except MISSED as error:
            log.warning("beat_missed", error=repr(error))

    async def end(self) -> None:
        """The process stops in order."""
        if self._beaten is None:
            return
        try:
            async with asyncio.timeout(BEAT_TIMEOUT):
                await outages.end(self._ctx, self._process)
        except MISSED as error:
            log.warning("beat_missed", error=repr(error))
