"""The collector's policy: automatic collection off while it runs, slices by age, everything back afterwards."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect

from media import HOT_PATH, Collector, CollectorPolicy


async def reached(collector: Collector, generation: int, count: int) -> None:
    """Collections happen by the loop's clock and tell nobody: look again at every turn of theirs."""
    async with asyncio.timeout(10):
        while collector.collections[generation] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_collects_in_slices_and_restores() -> None:
    policy = CollectorPolicy(young_seconds=0.01, middle_seconds=0.05, old_seconds=0.15)
    async with Collector(lambda: 0, policy) as collector:
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        await reached(collector, 2, 2)
        young, middle, old = collector.collections
        assert young > middle >= 1 and old >= 2
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


async def test_the_oldest_generation_waits_for_an_idle_moment() -> None:
    count = 0

    def busy() -> int:
        nonlocal count
        count += 1000
        return count

    policy = CollectorPolicy(
        young_seconds=0.005, middle_seconds=0.02, old_seconds=0.01, old_latest_seconds=0.3
    )
    async with Collector(busy, policy) as collector:
        await reached(collector, 1, 2)
        assert collector.collections[2] == 0
        await reached(collector, 2, 1)  # but not for ever


def test_the_hot_path_is_named_and_synchronous() -> None:
    for name in HOT_PATH:
        source = inspect.getsource(importlib.import_module(name))
        assert "async " not in source and "await " not in source and "logging" not in source
