"""The application keys under which a request finds what the process was wired with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web as http

from server.base.context import Context

if TYPE_CHECKING:
    from prometheus_client import Counter
    from redis.asyncio import Redis

CONTEXT: http.AppKey[Context] = http.AppKey("context", Context)


@dataclass(slots=True)
class Stores:
    """Redis, for logins and limits. Never for anything that must not be lost.

    ``uncounted`` counts what passed a limit without being counted, because Redis did not answer; limits leave it alone
    until ``resting_until`` (monotonic seconds) then, so that requests do not each wait for the same timeout.
    """

    redis: Redis
    uncounted: Counter
    resting_until: float = 0.0


STORES: http.AppKey[Stores] = http.AppKey("stores", Stores)


def context(request: http.Request) -> Context:
    """What actions take first."""
    return request.app[CONTEXT]
