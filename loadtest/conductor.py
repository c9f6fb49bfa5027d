"""Conducts the runs: books sessions, starts generators, sets the window, reads the server's figures, ends it all."""

import asyncio
import contextlib
import multiprocessing
import os
import secrets
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import aiohttp

from loadtest import metrics
from loadtest.bookings import Api, Couple
from loadtest.generator import (
    DRAIN_SECONDS,
    JOINING_ROOMS,
    LEAVE_SECONDS,
    Begin,
    Crashed,
    Joined,
    Measured,
    Order,
    Window,
    work,
)
from loadtest.kernel import busy_percent, dropped, snapshot
from loadtest.options import Load, LoadError
from loadtest.participant import JOIN_SECONDS
from loadtest.result import Outcome, evaluate

MAX_GENERATORS = 2
MARGIN_NS = 100_000_000  # between asking the server for its figures and the window's edges
START_SECONDS = 15.0  # for a generator process to be there

Say = Callable[[str], None]


def generators(rooms: int, processors: int | None = None) -> int:
    """How many processes: the server keeps one processor for itself, and few rooms need no second process."""
    spare = (processors if processors is not None else len(os.sched_getaffinity(0))) - 1
    return max(min(spare, MAX_GENERATORS, rooms), 1)


async def conduct(base: str, counts: Sequence[int], load: Load, own_server: bool, say: Say) -> list[Outcome]:
    """A run for each number of rooms, in turn. The people and their sessions serve all runs. Raises LoadError."""
    outcomes: list[Outcome] = []
    async with Api(base, own_server) as api, aiohttp.ClientSession() as http:
        couples: list[Couple] = []
        for count in counts:
            if count > len(couples):
                say(f"Registering {2 * (count - len(couples))} people and booking their sessions ...")
                couples += await _all_or_none([api.couple() for _ in range(count - len(couples))])
            say(
                f"{count} rooms: joining, then {load.warmup:g} s to warm up and {load.seconds:g} s measured ..."
            )
            outcomes.append(await _Run(base, http, load, own_server).carry_out(api, couples[:count]))
            say(outcomes[-1].brief)  # a later run that fails takes nothing of this one with it
    return outcomes


async def _all_or_none(makers: Sequence[Coroutine[None, None, Couple]]) -> list[Couple]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(maker) for maker in makers]
    except* LoadError as errors:
        raise LoadError(str(errors.exceptions[0])) from errors
    return [task.result() for task in tasks]


class _Generator:
    """One child process and the pipe to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe: Connection
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=work, args=(theirs,), name="loadtest", daemon=True
        )
        # Ctrl-C reaches the whole terminal. The child inherits that it does not hear it, from its first moment on:
        # it is told over the pipe to leave its rooms.
        resource_tracker.ensure_running()  # starting it later would unblock the signal again
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        theirs.close()

    def order(self, order: Order) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # hear() tells that it is gone
            self._pipe.send(order)

    async def hear(self, seconds: float) -> Joined | Measured:
        """Its next message. Raises LoadError if it crashed, vanished or says nothing for `seconds`."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._pipe.fileno(), ready.set)
        try:
            await asyncio.wait_for(ready.wait(), seconds)
            message = self._pipe.recv()
        except TimeoutError:
            raise LoadError(f"A generator process said nothing for {seconds:.0f} s") from None
        except (EOFError, OSError) as error:
            raise LoadError("A generator process vanished") from error
        finally:
            loop.remove_reader(self._pipe.fileno())
        if isinstance(message, Crashed):
            raise LoadError(f"A generator process failed: {message.reason}")
        if not isinstance(message, Joined | Measured):
            raise LoadError(f"A generator process said {message!r}")
        return message

    async def end(self) -> None:
        """Let it leave its rooms, but not for ever."""
        self.order(None)
        await asyncio.to_thread(self._process.join, LEAVE_SECONDS + 5)
        if self._process.is_alive():
            self._process.kill()
            await asyncio.to_thread(self._process.join, 5)
        self._pipe.close()
        self._process.close()


class _Run:
    def __init__(self, base: str, http: aiohttp.ClientSession, load: Load, own_server: bool) -> None:
        self._base, self._http, self._load, self._own_server = base, http, load, own_server

    async def carry_out(self, api: Api, couples: Sequence[Couple]) -> Outcome:
        tickets = [await api.tickets(couple) for couple in couples]
        processes = [_Generator() for _ in range(generators(len(couples)))]
        try:
            run, first = secrets.randbits(32), 0
            for place, process in enumerate(processes):
                share = tuple(tickets[place :: len(processes)])
                process.order(Begin(run, first, share, self._load, self._own_server))
                first += 2 * len(share)
            return await self._measure(processes, len(couples))
        finally:
            await asyncio.shield(asyncio.gather(*(process.end() for process in processes)))

    async def _measure(self, processes: Sequence[_Generator], wanted: int) -> Outcome:
        patience = START_SECONDS + JOIN_SECONDS * (1 + wanted / JOINING_ROOMS)
        joined = 0
        ports: set[int] = set()
        for process in processes:
            message = await process.hear(patience)
            if not isinstance(message, Joined):
                raise LoadError("A generator process reported before it was asked")
            if message.rooms == 0:
                raise LoadError("No room stands: " + "; ".join(dict.fromkeys(message.failures)))
            joined += message.rooms
            ports |= message.ports
        await asyncio.sleep(self._load.warmup)
        # The server is asked outside of the window, because answering costs it time; rates are of the time between.
        before, kernel_before = await metrics.read(self._http, self._base), snapshot(ports)
        read_at = time.monotonic()
        start = time.time_ns() + MARGIN_NS
        end = start + int(self._load.seconds * 1e9)
        for process in processes:
            process.order(Window(start, end))
        await _until(end + MARGIN_NS)
        after, kernel_after = await metrics.read(self._http, self._base), snapshot(ports)
        between = time.monotonic() - read_at
        measured = []
        for process in processes:
            message = await process.hear(DRAIN_SECONDS + 20)
            if not isinstance(message, Measured):
                raise LoadError("A generator process joined twice")
            measured.append(message)
        figures = metrics.difference(before, after, between)
        return evaluate(
            wanted,
            joined,
            self._load.seconds,
            measured,
            figures,
            busy_percent(kernel_before, kernel_after),
            dropped(kernel_before, kernel_after),
        )


async def _until(moment: int) -> None:
    await asyncio.sleep(max(moment - time.time_ns(), 0) / 1e9)
