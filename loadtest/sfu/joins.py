"""How long it takes until somebody who comes gets media, and what stays behind when thousands come and go."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from loadtest.engine import Engine
from loadtest.options import Load, LoadError
from loadtest.quantiles import nearest_rank
from loadtest.sfu import process
from loadtest.sfu.measure import CONNECT_SECONDS, SETTLE_SECONDS, fill, unless_broken
from loadtest.sfu.process import Cores
from loadtest.sfu.scenario import CALL_KBPS, Person
from loadtest.sfu.target import Visavis, Workshop

STORM = 50  # people at once, and rooms in which somebody waits
TURNS = 2  # through all rooms, one after another
AT_ONCE = 4  # rooms under way in the cycles
MARKS = (1000, 5000, 10_000)
_CYCLE_LOAD = Load(video_kbps=300)


@dataclass(frozen=True, slots=True)
class Joins:
    """Milliseconds from before the offer leaves the client to the arrival of the first media packet, ascending."""

    singly: tuple[float, ...]
    storm: tuple[float, ...]
    storm_generator_percent: (
        float  # of the storm's time the generator worked: its own handshakes are in the figures
    )

    def quantile(self, storm: bool, percent: float) -> float | None:
        return nearest_rank(self.storm if storm else self.singly, percent)


@dataclass(frozen=True, slots=True)
class Mark:
    """The SFU's process after so many people have come and gone."""

    cycles: int
    memory_octets: int
    objects: int  # that Python's collector knows, after a collection
    media_objects: dict[str, int]  # those of the SFU's own types
    peers: int
    rooms: int


@asynccontextmanager
async def _world(load: Load, cores: Cores) -> AsyncIterator[tuple[Engine, Workshop, Visavis]]:
    engine = Engine(secrets.randbits(32))
    engine.start()
    workshop = Workshop(engine, load, 1)
    try:
        with process.no_collections():
            async with Visavis(workshop, cores.sfu) as target:
                yield engine, workshop, target
    finally:
        for client in list(workshop.clients):
            client.close()
        engine.stop()


def joins(cores: Cores, rooms: int = STORM) -> Joins:
    """In each of `rooms` rooms somebody sends; others come one after another, then one into each at once."""
    process.pin(cores.generator)
    return asyncio.run(_joins(cores, rooms))


async def _joins(cores: Cores, rooms: int) -> Joins:
    async with _world(Load(video_kbps=CALL_KBPS), cores) as (engine, workshop, target):
        await fill(target, [Person(f"join-{room}", room, True) for room in range(rooms)], engine)
        await unless_broken(asyncio.sleep(SETTLE_SECONDS), workshop.clients, engine)

        async def come(number: int) -> float:
            person = Person(f"join-{number % rooms}", rooms + number, True)
            begun = engine.now()
            client = await target.enter(person)
            await unless_broken(client.first_media, [client], engine, CONNECT_SECONDS)
            return (client.first_media.result() - begun) / 1e6

        async def go(number: int) -> None:
            await target.leave(Person(f"join-{number % rooms}", rooms + number, True))

        singly = []
        for number in range(TURNS * rooms):
            singly.append(await come(number))
            await go(number)
        numbers = range(TURNS * rooms, (TURNS + 1) * rooms)
        await asyncio.sleep(SETTLE_SECONDS)
        began, own = engine.now(), process.own_cpu_seconds()
        storm = await _together([come(number) for number in numbers])
        share = (process.own_cpu_seconds() - own) / max((engine.now() - began) / 1e9, 1e-9)
        for number in numbers:
            await go(number)
        return Joins(tuple(sorted(singly)), tuple(sorted(storm)), 100 * share)


def cycles(cores: Cores, marks: Sequence[int] = MARKS) -> list[Mark]:
    """Pairs meet in fresh rooms, get each other's media, and go; the process is looked at after so many people."""
    process.pin(cores.generator)
    return asyncio.run(_cycles(cores, marks))


async def _cycles(cores: Cores, marks: Sequence[int]) -> list[Mark]:
    found = []
    async with _world(_CYCLE_LOAD, cores) as (engine, _, target):

        async def pair(number: int) -> None:
            people = [Person(f"cycle-{number}", 2 * number + seat, True) for seat in range(2)]
            clients = [await target.enter(person) for person in people]
            for client in clients:
                await unless_broken(client.first_media, clients, engine, CONNECT_SECONDS)
            for person in people:
                await target.leave(person)

        for begin, end in pairwise((0, *marks)):
            for at in range(begin // 2, end // 2, AT_ONCE):
                await _together([pair(number) for number in range(at, min(at + AT_ONCE, end // 2))])
                engine.tallies.clear()
            gc.collect()
            figures = await target.figures()
            found.append(
                Mark(
                    cycles=end,
                    memory_octets=process.resident_octets(target.pid),
                    objects=figures["objects"],
                    media_objects=figures["media_objects"],
                    peers=figures["peers"],
                    rooms=figures["rooms"],
                )
            )
    return found


_Result = TypeVar("_Result")


async def _together(work: Sequence[Coroutine[None, None, _Result]]) -> list[_Result]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(it) for it in work]
    except* LoadError as errors:
        raise LoadError(str(errors.exceptions[0])) from errors
    return [task.result() for task in tasks]
