"""A generator process: holds its share of the rooms, measures in the window it is told, and reports."""

import asyncio
import contextlib
import gc
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import aiohttp

from loadtest.bookings import Ticket
from loadtest.dtls import Certificate
from loadtest.engine import Engine
from loadtest.options import Load, LoadError
from loadtest.participant import Participant

JOINING_ROOMS = 3  # at once in one process; a handshake costs the server a few milliseconds
DRAIN_SECONDS = 1.0  # after the window, for packets and repairs under way
LEAVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begin:
    """To a generator: hold these rooms. `first_number` numbers its people within the run."""

    run: int
    first_number: int
    rooms: tuple[tuple[Ticket, Ticket], ...]
    load: Load
    own_server: bool


@dataclass(frozen=True, slots=True)
class Window:
    """To a generator: measure what leaves in [from_ns, to_ns), nanoseconds since the epoch."""

    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class Joined:
    """From a generator: all its rooms stand, or have failed for these reasons."""

    rooms: int
    failures: tuple[str, ...]
    ports: frozenset[int]  # to which the media go


@dataclass(frozen=True, slots=True)
class Measured:
    """From a generator: what it saw. Times are microseconds where the name says so, else seconds."""

    sent: int
    received: int
    duplicates: int
    reordered: int
    repaired: int
    latencies_us: bytes  # array("I")
    lateness_us: bytes  # array("I")
    join_seconds: tuple[float, ...]
    silent: int  # people from whom nothing arrived in the window
    cpu_seconds: float  # of this process, in the window
    blocked: int
    skipped: int
    strange: int
    overflowed: int
    feedback: dict[str, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crashed:
    """From a generator: it could not go on."""

    reason: str


Order = Begin | Window | None  # None: leave everything and end


def work(pipe: Connection) -> None:
    """The process: one Begin comes, then one Window or None. Ends by itself when the pipe breaks."""
    begin = pipe.recv()
    if not isinstance(begin, Begin):
        return
    try:
        asyncio.run(_Generator(pipe, begin).run())
    except LoadError as error:
        _tell(pipe, Crashed(str(error)))
    except Exception as error:  # noqa: BLE001  the parent prints it; a traceback of a child helps nobody there
        _tell(pipe, Crashed(f"{type(error).__name__}: {error}"))


def _tell(pipe: Connection, message: Joined | Measured | Crashed) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone: nobody to tell
        pipe.send(message)


class _Generator:
    def __init__(self, pipe: Connection, begin: Begin) -> None:
        self._pipe = pipe
        self._begin = begin
        self._failures: list[str] = []
        self._people: list[Participant] = []
        self._undecided = len(begin.rooms)
        self._decided = asyncio.Event()  # every room stands or has failed
        self._stop = asyncio.Event()
        self._orders: asyncio.Queue[Order] = asyncio.Queue(maxsize=4)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._pipe.fileno(), self._hear)
        engine = Engine(self._begin.run)
        engine.start()
        # The collector's pauses would be measured as somebody's delay; nothing here makes cycles by the packet.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
                await self._hold(engine, http)
        finally:
            loop.remove_reader(self._pipe.fileno())
            engine.stop()

    def _hear(self) -> None:
        try:
            order: Order = self._pipe.recv()
        except (EOFError, OSError):
            order = None
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
        if order is None:
            self._stop.set()
        if not self._orders.full():  # a parent that repeats itself has said it all
            self._orders.put_nowait(order)

    async def _hold(self, engine: Engine, http: aiohttp.ClientSession) -> None:
        certificate = Certificate.fresh()
        context = certificate.context()
        gate = asyncio.Semaphore(JOINING_ROOMS)
        begin = self._begin
        rooms = [
            asyncio.create_task(
                self._room(
                    gate,
                    tuple(
                        Participant(
                            engine, http, context, certificate.fingerprint, ticket,
                            begin.first_number + 2 * place + seat, begin.load, begin.own_server,
                        )
                        for seat, ticket in enumerate(tickets)
                    ),
                )
            )
            for place, tickets in enumerate(begin.rooms)
        ]  # fmt: skip
        measuring = asyncio.create_task(self._measure(engine))
        try:
            done, _ = await asyncio.wait((measuring, engine.crashed), return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
        finally:
            engine.crashed.cancel()
            measuring.cancel()
            self._stop.set()
            _, stuck = await asyncio.wait(rooms, timeout=LEAVE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(measuring, *rooms, return_exceptions=True)

    async def _room(self, gate: asyncio.Semaphore, people: tuple[Participant, ...]) -> None:
        """Everybody of one room; a fault of one sends the others home, too."""
        leave = asyncio.Event()
        stopping = asyncio.create_task(self._stop.wait())
        together = asyncio.create_task(_all(people))
        tasks: list[asyncio.Task[None]] = []
        try:
            async with gate:
                if self._stop.is_set():
                    return
                tasks = [asyncio.create_task(person.run(leave)) for person in people]
                await asyncio.wait((stopping, together, *tasks), return_when=asyncio.FIRST_COMPLETED)
            if together.done():
                self._people += people
                self._decide()
                await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leave.set()
            if not together.done():
                for task in tasks:
                    task.cancel()
            stopping.cancel()
            together.cancel()
            await asyncio.gather(stopping, together, return_exceptions=True)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, LoadError):
                    self._failures.append(str(outcome))
                elif isinstance(outcome, Exception):
                    self._failures.append(f"{type(outcome).__name__}: {outcome}")
            if people[0] not in self._people:
                self._decide()

    def _decide(self) -> None:
        self._undecided -= 1
        if self._undecided == 0:
            self._decided.set()

    async def _measure(self, engine: Engine) -> None:
        await self._decided.wait()
        ports = frozenset(person.port for person in self._people)
        _tell(self._pipe, Joined(len(self._people) // 2, tuple(self._failures), ports))
        order = await self._orders.get()
        if not isinstance(order, Window):
            return
        engine.window_from, engine.window_to = order.from_ns, order.to_ns
        await self._until(order.from_ns)
        cpu = time.process_time()
        await self._until(order.to_ns)
        cpu = time.process_time() - cpu
        await self._until(order.to_ns + int(DRAIN_SECONDS * 1e9))
        _tell(self._pipe, self._result(engine, cpu))

    async def _until(self, moment: int) -> None:
        """Sleep until `moment`, or until we are told to stop."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), max(moment - time.time_ns(), 0) / 1e9)

    def _result(self, engine: Engine, cpu: float) -> Measured:
        sent = received = silent = 0
        peers = [person.peer for person in self._people if person.peer is not None]
        for peer in peers:
            if peer.sender is None:
                continue
            arrived = 0
            for stream in (peer.sender.voice, peer.sender.picture):
                sent += stream.window_sent
                arrived += engine.tally(stream.number).came(stream.window_first, stream.window_end)
            received += arrived
            silent += arrived == 0
        return Measured(
            sent=sent,
            received=received,
            duplicates=sum(tally.duplicates for tally in engine.tallies.values()),
            reordered=sum(tally.reordered for tally in engine.tallies.values()),
            repaired=engine.repaired,
            latencies_us=engine.latencies.tobytes(),
            lateness_us=engine.lateness.tobytes(),
            join_seconds=tuple(person.join_ns / 1e9 for person in self._people),
            silent=silent,
            cpu_seconds=cpu,
            blocked=engine.blocked,
            skipped=engine.skipped,
            strange=engine.strange,
            overflowed=sum(peer.overflowed for peer in peers),
            feedback=dict(engine.feedback),
            failures=tuple(self._failures),
        )


async def _all(people: tuple[Participant, ...]) -> None:
    for person in people:
        await person.joined.wait()
