"""What an action asks of a cache: answers that may be thrown away at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Cache(Protocol):
    """Neither method raises, and neither waits long: a cache that is away knows nothing."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys; None for what is not there."""

    async def put(self, values: Mapping[str, bytes], seconds: int) -> None:
        """Keep the values for at most so many seconds."""


class NoCache:
    """Remembers nothing."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return [None] * len(keys)

    async def put(self, values: Mapping[str, bytes], seconds: int) -> None:
        return None
