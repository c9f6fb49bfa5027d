"""The worker process, wired on one page: job loops, outbox, mail, calendars, and arq as the doorbell."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import uvloop
from arq import cron, func
from arq.worker import Worker as ArqWorker
from redis.exceptions import RedisError

from jobs import store
from jobs.outbox import drain
from jobs.periodic import JOBS
from jobs.runner import Job, run_due
from jobs.schedule import zone_of
from jobs.watch import LOOK, Watch
from server.base.clock import Clock, SystemClock
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, create_pool
from server.base.log import configure, logger
from server.calendars.work import work_due
from server.integrations.channels import Channels, make_channels
from server.integrations.wake import QUEUE, REACT, arq_redis, from_json, to_json
from server.notifications.delivery import deliver_due
from server.settings import Settings

log = logger(__name__)

TROUBLE = 1.0  # seconds of rest after a fault, doubling up to TROUBLE_MOST
TROUBLE_MOST = 30.0
REDIS_REST_MOST = 5.0  # seconds; Redis is only the doorbell, and asking whether it is back costs little
ARQ_POLL = 0.2  # seconds: what a ring takes to be heard
ARQ_JOB_TIMEOUT = 10  # seconds; the doorbell only rings. A killed worker's ring is silent for that long
SENDERS = 16  # messages on their way at once: a provider that takes 0.1 s is sent 150 a second; Exim takes 20 callers
FEW_MAILS = 20  # messages that leave one after the other, before many do at once
MAILS_AT_ONCE = 200  # messages per round: stopping waits for no more
# Each of twelve jobs holds a connection with its lock while it waits for one for its work: with fewer than these all
# could hold one and none get the second. Mail, the outbox's lanes, calendars and heartbeats share the rest.
POOL_SIZE = 36


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks when nobody rings: into PostgreSQL, which is what a lost Redis costs, and at the clock, so
    late is a clock noticed that jumps."""

    sweep: float = 2.0
    clock: float = 5.0


class Bell:
    """Wakes a loop; many rings are one, so it needs no bound."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Return at the first ring (an earlier one counts), or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        self._event.clear()


class Worker:
    """Everything one worker process does, until `stop`.

    PostgreSQL is the truth: jobs, facts and mails are claimed there, by any number of workers. Redis may be away or be
    wiped at any time; then the loops look for themselves at their `Pace`.
    """

    def __init__(
        self, ctx: Context, channels: Channels, redis_url: str | None, pace: Pace | None = None
    ) -> None:
        if ctx.pool.get_max_size() < POOL_SIZE:
            raise ValueError(
                f"a worker needs a pool of {POOL_SIZE} connections, or its jobs wait for each other"
            )
        self._pace = pace or Pace()
        self._facts, self._mails, self._calendars = Bell(), Bell(), Bell()
        self._looks, self._wishes = Bell(), Bell()
        self._wished: frozenset[str] = frozenset()  # jobs that somebody wants run now
        self._ticks = {name: Bell() for name in JOBS}
        # Facts that this process records itself need no Redis to be noticed here.
        self._ctx = Context(ctx.pool, ctx.clock, ctx.settings, self._facts.ring)
        self._channels = channels
        self._redis_url = redis_url
        self._watch = Watch(self._ctx)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take nothing new; what is being done is finished (see `run`)."""
        if not self._stopping.is_set():
            log.info("worker_stopping")
            self._stopping.set()
            for bell in (
                self._facts, self._mails, self._calendars, self._looks, self._wishes, *self._ticks.values()
            ):  # fmt: skip
                bell.ring()

    async def run(self) -> None:
        """Work until `stop`, then finish what is in hand within ``shutdown_seconds``; the rest is cancelled, and the
        next worker takes it over."""
        await self._first_look()
        async with asyncio.TaskGroup() as tasks:
            doorbell = tasks.create_task(self._doorbell(), name="doorbell") if self._redis_url else None
            loops = [
                tasks.create_task(
                    self._loop("outbox", self._facts, self._pace.sweep, self._drain), name="outbox"
                ),
                tasks.create_task(
                    self._loop("mail", self._mails, self._pace.sweep, self._deliver), name="mail"
                ),
                tasks.create_task(
                    self._loop("calendars", self._calendars, self._pace.sweep, self._look_at_calendars),
                    name="calendars",
                ),
                tasks.create_task(self._loop("watch", self._looks, LOOK, self._look), name="watch"),
                tasks.create_task(
                    self._loop("wishes", self._wishes, self._pace.sweep, self._look_for_wishes), name="wishes"
                ),
                *(tasks.create_task(self._job_loop(job), name=f"job:{job.name}") for job in JOBS.values()),
            ]
            log.info("worker_ready", jobs=list(JOBS))
            await self._stopping.wait()
            _, unfinished = await asyncio.wait(loops, timeout=self._ctx.settings.shutdown_seconds)
            for task in unfinished:
                log.warning("worker_cancelled", task=task.get_name())
                task.cancel()
            if doorbell is not None:
                doorbell.cancel()
        log.info("worker_stopped")

    async def _first_look(self) -> None:
        """Before any job runs: was everybody away, and we with them?"""
        try:
            await self._watch.look()
        except Exception:
            log.exception("worker_loop_fault", loop="watch")

    async def _look(self) -> None:
        await self._watch.look()

    async def _drain(self) -> None:
        drained = await drain(self._ctx)
        if drained.handled:
            self._mails.ring()
            self._calendars.ring()

    async def _look_at_calendars(self) -> None:
        # A few at a time, as with mails.
        while not self._stopping.is_set() and await work_due(self._ctx, limit=8):
            self._facts.ring()

    async def _look_for_wishes(self) -> None:
        async with self._ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
            self._wished = frozenset(await store.wished(conn))
        for name in self._wished & self._ticks.keys():
            self._ticks[name].ring()

    async def _deliver(self) -> None:
        # A few at a time, so that stopping need not wait for a long queue. A handful leaves one after the other: then a
        # worker that is killed leaves at most one of them in doubt. Only a queue is worth many at once.
        limit, senders = FEW_MAILS, 1
        while not self._stopping.is_set():
            delivery = await deliver_due(self._ctx, self._channels, limit, senders)
            if delivery.sent == 0:
                break
            if delivery.sent == limit:
                limit, senders = MAILS_AT_ONCE, SENDERS

    async def _job_loop(self, job: Job) -> None:
        """A loop of its own for each job: a slow one delays no other."""
        done: datetime | None = None

        async def once() -> None:
            nonlocal done
            zone = zone_of(job.zone, self._ctx.settings.timezone)
            tick = job.schedule.latest(self._ctx.clock.now(), zone)
            if tick == done and job.name not in self._wished:
                return
            did = await run_due(self._ctx, job)
            if did.through:
                done = tick
            if did.rows:
                self._facts.ring()
                self._mails.ring()

        await self._loop(job.name, self._ticks[job.name], self._pace.clock, once)

    async def _loop(self, name: str, bell: Bell, seconds: float, once: Callable[[], Awaitable[None]]) -> None:
        """Do it, wait for the bell or so many seconds, do it again; a fault is logged and rested from."""
        rest = TROUBLE
        while not self._stopping.is_set():
            try:
                await once()
                rest = TROUBLE
            except Exception:
                # Above all a database that is restarting: this loop is what comes back afterwards.
                log.exception("worker_loop_fault", loop=name, rest=rest)
                await bell.wait(rest)
                rest = min(rest * 2, TROUBLE_MOST)
                continue
            await bell.wait(seconds)

    async def _doorbell(self) -> None:
        """arq, started again whenever Redis has been away: arq's own worker ends when it loses Redis."""
        rest = TROUBLE
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await self._arq()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("redis_lost", error=str(error) or type(error).__name__)
            except Exception:
                log.exception("doorbell_fault")
            lasted = asyncio.get_running_loop().time() - started
            rest = TROUBLE if lasted > REDIS_REST_MOST else min(rest * 2, REDIS_REST_MOST)
            await asyncio.sleep(rest)

    async def _arq(self) -> None:
        async def react(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
            self._facts.ring()
            self._calendars.ring()
            self._wishes.ring()

        async def tick(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> None:
            for bell in self._ticks.values():
                bell.ring()

        assert self._redis_url is not None  # noqa: S101 - the loop is not started without one
        redis = arq_redis(self._redis_url, connections=8)
        worker = ArqWorker(
            functions=[func(react, name=REACT, keep_result=0, timeout=ARQ_JOB_TIMEOUT, max_tries=1)],
            cron_jobs=[cron(tick, name="tick", second=0, timeout=ARQ_JOB_TIMEOUT, max_tries=1, unique=True)],
            redis_pool=redis,
            queue_name=QUEUE,
            handle_signals=False,
            poll_delay=ARQ_POLL,
            max_jobs=4,
            job_serializer=to_json,
            job_deserializer=from_json,
            log_results=False,
        )
        try:
            await worker.async_run()
        finally:
            await self._close(worker)

    @staticmethod
    async def _close(worker: ArqWorker) -> None:
        """Let go of arq's tasks and connections; Redis may be the reason we are here and refuse to say goodbye."""
        for task in (worker.main_task, *worker.tasks.values()):
            if task is not None:
                task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            await worker.pool.aclose(close_connection_pool=True)


async def serve_jobs(settings: Settings, clock: Clock | None = None, pace: Pace | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    pool = await create_pool(settings.database_url, max_size=POOL_SIZE)
    try:
        ctx = Context(pool, clock or SystemClock(), settings)
        worker = Worker(ctx, make_channels(settings), settings.redis_url or None, pace)
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, worker.stop)
        await worker.run()
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await pool.close()
        pool.terminate()


def work(settings: Settings) -> int:
    """What ``visavis worker`` runs; the exit code."""
    configure(settings.log_format, process="worker")
    uvloop.run(serve_jobs(settings))
    return 0
