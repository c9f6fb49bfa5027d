"""Puts a scenario on an SFU and measures: CPU per packet, loss, delay, memory. Runs in a process of its own."""

from __future__ import annotations

import asyncio
import secrets
import time
from array import array
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any

from loadtest.engine import Engine
from loadtest.options import LoadError
from loadtest.quantiles import nearest_rank
from loadtest.sfu import process
from loadtest.sfu.client import Client
from loadtest.sfu.janus import Janus
from loadtest.sfu.process import Cores
from loadtest.sfu.profile import Row, sample
from loadtest.sfu.scenario import Person, Scenario
from loadtest.sfu.target import Target, Visavis, Workshop

JOINING = 12  # people at once
CONNECT_SECONDS = 20.0  # from the offer to DTLS, and from there to the first packet
SETTLE_SECONDS = 1.5  # after the last one has come, before anything is measured
DRAIN_SECONDS = 0.5  # after the window, for what is under way
TARGETS: dict[str, type[Visavis] | type[Janus]] = {"visavis": Visavis, "janus": Janus}


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run found. Times as the names say; None where nothing was sampled."""

    target: str
    scenario: str
    seconds: float
    participants: int
    packets: int  # media, that clients received in the window
    octets: int
    repairs: int  # RTX and padding, not in `packets`
    control: int  # RTCP that clients received, not in `packets`
    feedback: int  # transport-wide feedback that clients sent
    cpu_seconds: float  # of the SFU's process, user and system, in the window
    system_seconds: float  # of those, in the kernel
    lost: int  # of `expected`
    expected: int
    dropped: int  # by the clients' own receive buffers
    unauthentic: int
    delay_p50_ms: float | None  # from before the sender encrypts to the kernel's time of arrival
    delay_p99_ms: float | None
    delay_max_ms: float | None
    memory_octets: int  # growth of the SFU's process since before the first one came
    generator_percent: float
    late_p99_ms: float | None  # of the generator's own sends
    profiles: tuple[str, ...]
    extensions: tuple[str, ...]
    drops: dict[str, int] = field(default_factory=dict)  # the SFU's own refusals, by reason
    control_kinds: dict[str, int] = field(default_factory=dict)
    profile: tuple[Row, ...] = ()

    @property
    def us_per_packet(self) -> float:
        """CPU microseconds of the SFU per media packet received."""
        return 1e6 * self.cpu_seconds / self.packets if self.packets else float("nan")

    @property
    def sfu_percent(self) -> float:
        return 100 * self.cpu_seconds / self.seconds

    @property
    def kernel_percent(self) -> float:
        """How much of its CPU time the SFU spent in system calls."""
        return 100 * self.system_seconds / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def memory_kb_per_participant(self) -> float:
        return self.memory_octets / 1000 / self.participants


def run(
    target: str, scenario: Scenario, seconds: float, cores: Cores, profiler: str | None = None
) -> Figures:
    """One run from start to end, watched by a sampling profiler if one is named. Raises LoadError."""
    process.pin(cores.generator)
    return asyncio.run(_run(TARGETS[target], scenario, seconds, cores, profiler))


async def _run(
    kind: type[Visavis] | type[Janus], scenario: Scenario, seconds: float, cores: Cores, profiler: str | None
) -> Figures:
    engine = Engine(secrets.randbits(32))
    workshop = Workshop(engine, scenario.load, scenario.decrypt)
    engine.start()
    try:
        target: Target = kind(workshop, cores.sfu)
        with process.no_collections():
            async with target:
                return await _measure(target, workshop, scenario, seconds, profiler)
    finally:
        for client in workshop.clients:
            client.close()
        engine.stop()


async def _measure(
    target: Target, workshop: Workshop, scenario: Scenario, seconds: float, profiler: str | None
) -> Figures:
    engine = workshop.engine
    profile: tuple[Row, ...] = ()
    before = process.resident_octets(target.pid)
    await fill(target, scenario.people(), engine)
    await unless_broken(asyncio.sleep(SETTLE_SECONDS), workshop.clients, engine)
    engine.feedback.clear()
    engine.window_from = engine.now()
    engine.window_to = engine.window_from + int(seconds * 1e9)
    cpu, system, own = (
        process.cpu_seconds(target.pid),
        process.system_seconds(target.pid),
        time.process_time(),
    )
    await unless_broken(asyncio.sleep(seconds), workshop.clients, engine)
    cpu, own = process.cpu_seconds(target.pid) - cpu, time.process_time() - own
    system = process.system_seconds(target.pid) - system
    lasted = (engine.now() - engine.window_from) / 1e9
    memory = process.resident_octets(target.pid) - before
    await asyncio.sleep(DRAIN_SECONDS)
    if profiler is not None:  # after the window, which it would disturb
        profile = await sample(profiler, target.pid, seconds)
    figures = await target.figures()
    counts = workshop.counts
    spans = [
        s for client in workshop.clients if client.counter is not None for s in client.counter.spans.values()
    ]
    delays, lateness = array("I", sorted(engine.latencies)), array("I", sorted(engine.lateness))
    return Figures(
        target=target.name,
        scenario=scenario.name,
        seconds=seconds,
        participants=scenario.participants,
        packets=counts.packets,
        octets=counts.octets,
        repairs=counts.repairs,
        control=counts.control,
        feedback=counts.feedback,
        cpu_seconds=cpu * seconds / lasted,  # we wake up a little late
        system_seconds=system * seconds / lasted,
        lost=sum(span.lost for span in spans),
        expected=sum(span.sent for span in spans),
        dropped=sum(client.dropped for client in workshop.clients),
        unauthentic=counts.unauthentic,
        delay_p50_ms=_ms(delays, 50),
        delay_p99_ms=_ms(delays, 99),
        delay_max_ms=_ms(delays, 100),
        memory_octets=memory,
        generator_percent=100 * own / lasted,
        late_p99_ms=_ms(lateness, 99),
        profiles=tuple(sorted({client.profile for client in workshop.clients})),
        extensions=tuple(sorted(frozenset[str]().union(*(client.negotiated for client in workshop.clients)))),
        drops=figures.get("drops", {}),
        control_kinds=dict(engine.feedback),
        profile=profile,
    )


def _ms(ordered: array[int], percent: float) -> float | None:
    value = nearest_rank(ordered, percent)
    return None if value is None else value / 1000


async def fill(target: Target, people: Iterable[Person], engine: Engine) -> None:
    """Everybody comes; returns when all who should see somebody do. Raises LoadError."""
    people = tuple(people)
    gate = asyncio.Semaphore(JOINING)
    senders: dict[str, list[Person]] = {}
    for person in people:
        if person.sends:
            senders.setdefault(person.room, []).append(person)

    async def publish(person: Person) -> None:
        async with gate:
            client = await target.publish(person)
            await unless_broken(client.connected, [client], engine, CONNECT_SECONDS)

    async def watch(person: Person) -> None:
        others = [it for it in senders.get(person.room, []) if it is not person]
        if others:
            async with gate:
                client = await target.watch(person, others)
                await unless_broken(client.first_media, [client], engine, CONNECT_SECONDS)

    for step, who in ((publish, [it for it in people if it.sends]), (watch, list(people))):
        try:
            async with asyncio.TaskGroup() as group:
                for person in who:
                    group.create_task(step(person))
        except* LoadError as errors:
            raise LoadError(str(errors.exceptions[0])) from errors


async def unless_broken(
    awaited: Awaitable[Any], clients: Iterable[Client], engine: Engine, seconds: float | None = None
) -> None:
    """Wait for something, unless one of the clients fails before. Raises LoadError."""
    task = asyncio.ensure_future(awaited)
    everything: list[asyncio.Future[Any]] = [task, engine.crashed, *(client.failed for client in clients)]
    done, _ = await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
    if task in done:
        task.result()
        return
    if isinstance(task, asyncio.Task):
        task.cancel()
    if not done:
        raise LoadError(f"A client waited {seconds:.0f} s for nothing")
    for broken in done:
        broken.result()
