"""The workers' doorbell: an arq job in Redis that says "look into the outbox"; losing it loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from server.base.log import logger

log = logger(__name__)

REACT = "react"  # the arq job's name, and its id: one ring is enough while nobody has answered
QUEUE = "visavis:wake"
RING_TIMEOUT = 2.0  # seconds; the sweeper is there anyway
QUIET = 0.05  # seconds between two rings: a burst of facts rings once


def to_json(value: Any) -> bytes:
    """arq's serialiser, JSON instead of pickle: whoever can write to Redis cannot run code here."""
    return json.dumps(value, default=repr).encode()


def from_json(data: bytes) -> Any:
    return json.loads(data)


def arq_redis(redis_url: str, *, connections: int) -> ArqRedis:
    """A client of the wake queue; nothing is connected yet."""
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=connections,
        timeout=RING_TIMEOUT,
        socket_timeout=RING_TIMEOUT,
        socket_connect_timeout=RING_TIMEOUT,
    )
    return ArqRedis(
        connection_pool=pool, job_serializer=to_json, job_deserializer=from_json, default_queue_name=QUEUE
    )


class ArqWaker:
    """Call it after a commit that recorded facts: it never waits and never fails.

    Many calls between two rings are one ring: the "queue" is a flag, so it cannot overflow. The task that rings is
    owned by `running`.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis
        self._wanted = asyncio.Event()

    def __call__(self) -> None:
        self._wanted.set()

    async def ring(self) -> None:
        """Ring once. Raises ``RedisError``, ``OSError`` or ``TimeoutError``."""
        async with asyncio.timeout(RING_TIMEOUT):
            await self._redis.enqueue_job(REACT, _job_id=REACT, _queue_name=QUEUE)

    async def run(self) -> None:
        """Ring whenever somebody called, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.ring()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("wake_lost", error=str(error) or type(error).__name__)
            await asyncio.sleep(QUIET)


@contextlib.asynccontextmanager
async def arq_waker(redis_url: str) -> AsyncIterator[ArqWaker]:
    """A running waker on connections of its own; Redis need not be up."""
    redis = arq_redis(redis_url, connections=2)
    waker = ArqWaker(redis)
    task = asyncio.create_task(waker.run(), name="waker")
    try:
        yield waker
    finally:
        while not task.done():
            # redis-py can swallow a cancellation that comes while it connects; then the next one counts.
            task.cancel()
            await asyncio.wait((task,), timeout=QUIET)
        await redis.aclose(close_connection_pool=True)
