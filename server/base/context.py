"""What an action needs from the process it runs in, handed in by constructor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.base.cache import Cache, NoCache
from server.base.clock import Clock
from server.base.db import Pool
from server.settings import Settings


def wake_nobody() -> None:
    """For processes without Redis: the sweeper finds the facts within its interval."""


@dataclass(frozen=True, slots=True)
class Context:
    """``wake`` tells the workers, without waiting, that facts were committed; losing the call loses nothing."""

    pool: Pool
    clock: Clock
    settings: Settings
    wake: Callable[[], None] = wake_nobody
    cache: Cache = field(default_factory=NoCache)
