"""The application keys under which a request finds what the process was wired with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web as http

from server.base.context import Context

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONTEXT: http.AppKey[Context] = http.AppKey("context", Context)


@dataclass(frozen=True, slots=True)
class Stores:
    """Redis, for logins and limits. Never for anything that must not be lost."""

    redis: Redis


STORES: http.AppKey[Stores] = http.AppKey("stores", Stores)


def context(request: http.Request) -> Context:
    """What actions take first."""
    return request.app[CONTEXT]
