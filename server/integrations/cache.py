"""Answers kept in Redis for a while; a Redis that is away or slow costs a moment and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from server.base.log import logger

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logger(__name__)

PATIENCE = 0.1  # seconds; computing the answer anew takes a fraction of that
REST = 2.0  # seconds in which a Redis that failed is not asked again


class RedisCache:
    """`server.base.cache.Cache` on a Redis client that somebody else owns. Keys get ``prefix``."""

    def __init__(self, redis: Redis, prefix: str = "visavis:cache:") -> None:
        self._redis: Any = redis
        self._prefix = prefix
        self._resting_until = 0.0

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys or monotonic() < self._resting_until:
            return [None] * len(keys)
        try:
            async with asyncio.timeout(PATIENCE):
                found: list[bytes | None] = await self._redis.mget([self._prefix + key for key in keys])
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)
            return [None] * len(keys)
        return found

    async def put(self, values: Mapping[str, bytes], seconds: int) -> None:
        if not values or monotonic() < self._resting_until:
            return
        try:
            async with asyncio.timeout(PATIENCE), self._redis.pipeline(transaction=False) as pipe:
                for key, value in values.items():
                    pipe.set(self._prefix + key, value, ex=seconds)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._rest(error)

    def _rest(self, error: BaseException) -> None:
        self._resting_until = monotonic() + REST
        log.warning("cache_lost", error=str(error) or type(error).__name__)
