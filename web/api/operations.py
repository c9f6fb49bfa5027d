"""For operators' machines: alive, ready, and the figures. What is checked is handed in by whoever built the process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

import structlog
from aiohttp import web as http

from web.routing import system

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0  # per part; what takes longer is not ready

# Returns when the part is well; raises when it is not.
Check: TypeAlias = Callable[[], Awaitable[None]]


class NotReady(Exception):
    """A part is not ready; the text says why, without secrets."""


class Figures(Protocol):
    """Whoever can write the process's metrics in Prometheus' text format."""

    async def exposition(self) -> tuple[bytes, str]:
        """The text and its media type."""


CHECKS: http.AppKey[Mapping[str, Check]] = http.AppKey("readiness checks", dict)
FIGURES: http.AppKey[Figures] = http.AppKey("figures", object)  # type: ignore[arg-type]


async def alive(_request: http.Request) -> http.StreamResponse:
    """Alive: the event loop turns. Asks nobody, so a broken database does not get the process restarted."""
    return http.json_response({"status": "ok"})


async def ready(request: http.Request) -> http.StreamResponse:
    """200 with every part ``ok``, or 503 naming what is not."""
    checks = request.app[CHECKS]
    results = await asyncio.gather(*(_checked(name, check) for name, check in checks.items()))
    parts = dict(zip(checks, results, strict=True))
    failing = [name for name, result in parts.items() if result != "ok"]
    return http.json_response(
        {"status": "unavailable" if failing else "ready", "failing": failing, "checks": parts},
        status=503 if failing else 200,
    )


async def _checked(name: str, check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except NotReady as reason:
        return str(reason)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:g} s"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part, the others are still reported
        log.warning("a part is not ready", part=name, error=repr(error))
        return "does not answer"
    return "ok"


async def metrics(request: http.Request) -> http.StreamResponse:
    body, kind = await request.app[FIGURES].exposition()
    return http.Response(body=body, headers={"Content-Type": kind})


ROUTES = (
    system("/healthz", alive, summary="Alive."),
    system("/readyz", ready, summary="Ready, or what is not."),
    system("/metrics", metrics, summary="Prometheus metrics."),
)
