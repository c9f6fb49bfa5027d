"""Carries what the SFU saw into attendance: every coming and going once the database lets it, heartbeats meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeAlias
from uuid import UUID

import asyncpg
import structlog

from server.attendance import actions as attendance
from server.base.context import Context
from server.base.errors import Refusal
from signaling.counters import Counters

log = structlog.get_logger(__name__)

HEARTBEAT = 5.0  # seconds; what a crash of this process may cost a person's presence
BACKLOG = 10_000  # events waiting; beyond it the room refuses new media, so that the queue cannot run away
LIMIT = (
    10 * BACKLOG
)  # events waiting, about 30 MB; only peers that come and go for hours without a database get here
FIRST_RETRY, LAST_RETRY = 0.25, 10.0  # seconds between tries while the database is away
WRITE_TIMEOUT = 20.0

# What passes by itself: no connection, a restart, a full server, a deadlock. Everything else is the event's own fault.
TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
)
MISSED: tuple[type[Exception], ...] = (*TRANSIENT, asyncpg.PostgresError)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The peer's media still flow at ``at``; the seconds are totals of its present stay."""

    session_id: UUID
    peer_id: str
    at: datetime
    media_seconds: float
    talk_seconds: float


@dataclass(frozen=True, slots=True)
class Came:
    session_id: UUID
    user_id: UUID
    peer_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Went:
    """``last``: the totals of the stay that ended, if the SFU still knew them."""

    session_id: UUID
    user_id: UUID
    peer_id: str
    at: datetime
    reason: str
    last: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Switched:
    """Which of the two are on, as the person's page says since ``at``."""

    session_id: UUID
    user_id: UUID
    peer_id: str
    at: datetime
    microphone: bool
    camera: bool


Sighting: TypeAlias = Came | Went | Switched


class Attendance(Protocol):
    """Where sightings go. All four are idempotent, so that a write whose answer was lost may be repeated."""

    async def came(self, sighting: Came) -> None: ...

    async def went(self, sighting: Went) -> None: ...

    async def switched(self, sighting: Switched) -> None: ...

    async def seen(self, heartbeats: Sequence[Heartbeat]) -> None: ...


class AttendanceActions:
    """The attendance slice of this process."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def came(self, sighting: Came) -> None:
        s = sighting
        await attendance.joined(self._ctx, s.session_id, s.user_id, s.peer_id, s.at)

    async def went(self, sighting: Went) -> None:
        s = sighting
        if s.last is not None:
            await self.seen((s.last,))
        await attendance.left(self._ctx, s.session_id, s.user_id, s.peer_id, s.at, s.reason)

    async def switched(self, sighting: Switched) -> None:
        s = sighting
        await attendance.switched(self._ctx, s.session_id, s.user_id, s.peer_id, s.at, s.microphone, s.camera)

    async def seen(self, heartbeats: Sequence[Heartbeat]) -> None:
        rows = [(h.session_id, h.peer_id, h.at, h.media_seconds, h.talk_seconds) for h in heartbeats]
        await attendance.seen(self._ctx, rows)


class PresenceSink:
    """A queue in order of events, its one owner task (`run`), and a pulse.

    Overflow: from BACKLOG events on, ``accepting`` is False and rooms refuse new media (``presence_backlog``), which
    bounds the rest by the peers that are here. At LIMIT the newest event is lost, counted and logged; a lost going is
    repaired by `attendance.close_orphans`, as after a crash.
    """

    def __init__(
        self,
        attendance: Attendance,
        heartbeats: Callable[[], Sequence[Heartbeat]],
        counters: Counters,
        *,
        switches: Callable[[], Sequence[Switched]] = tuple,
        heartbeat: float = HEARTBEAT,
        backlog: int = BACKLOG,
        limit: int = LIMIT,
    ) -> None:
        self._attendance = attendance
        self._heartbeats = heartbeats
        self._switches = switches
        self._counters = counters
        self._interval = heartbeat
        self._backlog = backlog
        self._limit = limit
        self._queue: deque[Sighting] = deque()
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def accepting(self) -> bool:
        return len(self._queue) < self._backlog

    def take(self, sighting: Sighting) -> None:
        """Note a sighting. Never waits: called from the SFU's callback."""
        if len(self._queue) >= self._limit:
            self._counters.presence_lost["overflow"] += 1
            log.error(
                "presence_lost", reason="overflow", session_id=str(sighting.session_id), peer=sighting.peer_id
            )
            return
        self._queue.append(sighting)
        self._empty.clear()
        self._arrived.set()

    async def flush(self, timeout: float) -> bool:
        """Wait until everything noted is written, at most ``timeout`` seconds; False when something is left."""
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            log.error("presence_unwritten", events=len(self._queue))  # noqa: TRY400 - the traceback says nothing
            return False
        return True

    async def run(self) -> None:
        """Write until cancelled."""
        loop = asyncio.get_running_loop()
        pulse = loop.time() + self._interval
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(pulse):
                    await self._arrived.wait()
            await self._write_all()
            if loop.time() >= pulse:
                await self._beat()
                pulse = loop.time() + self._interval

    async def _write_all(self) -> None:
        delay = FIRST_RETRY
        while self._queue:
            sighting = self._queue[0]
            try:
                await self._write(sighting)
            except TRANSIENT as error:
                self._counters.presence_retries += 1
                log.warning("presence_waits", error=repr(error), events=len(self._queue), retry_in=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, LAST_RETRY)
                continue
            except (Refusal, asyncpg.PostgresError) as error:
                # E.g. a room whose session was never stored: repeating would hold up everybody behind it.
                self._counters.presence_lost["refused"] += 1
                log.exception("presence_refused", error=repr(error), sighting=repr(sighting))
            else:
                self._counters.presence_written += 1
                delay = FIRST_RETRY
            self._queue.popleft()
        self._arrived.clear()
        self._empty.set()

    async def _write(self, sighting: Sighting) -> None:
        async with asyncio.timeout(WRITE_TIMEOUT):
            match sighting:
                case Came():
                    await self._attendance.came(sighting)
                case Went():
                    await self._attendance.went(sighting)
                case Switched():
                    await self._attendance.switched(sighting)

    async def _beat(self) -> None:
        """Heartbeats are not queued: the next one says more. What was switched is, unless the queue is too long
        already: then it is asked for again at the next beat."""
        if self.accepting:
            for sighting in self._switches():
                self.take(sighting)
        heartbeats = self._heartbeats()
        if not heartbeats:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self._attendance.seen(heartbeats)
        except MISSED as error:
            self._counters.presence_retries += 1
            log.warning("heartbeat_missed", error=repr(error), peers=len(heartbeats))


def instant_of(unix_seconds: float) -> datetime:
    """The SFU's times as the domain's."""
    return datetime.fromtimestamp(unix_seconds, UTC)
