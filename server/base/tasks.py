"""Tasks with an owner: they run from an application's start-up to its clean-up, whatever one round of them does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog

log = structlog.get_logger(__name__)

RESTART_SECONDS = 1.0

Work: TypeAlias = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def kept_running(works: Mapping[str, Work]) -> AsyncIterator[None]:
    """Run each work as a task of its name until the context ends."""
    tasks = {asyncio.create_task(_keep_going(name, work), name=name) for name, work in works.items()}
    try:
        yield
    finally:
        while tasks:
            # A database driver may swallow a cancellation that meets the end of a query; then the next one counts.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=1)


async def _keep_going(name: str, work: Work) -> None:
    """No task may end before its owner: a bug in one round is logged, and the next round comes."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("task_failed", task=name)
            await asyncio.sleep(RESTART_SECONDS)
