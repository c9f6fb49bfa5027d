"""One clock for several processes: an instant in a file that all of them have mapped."""

from __future__ import annotations

import mmap
from datetime import UTC, datetime, timedelta
from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE = 8  # bytes: one integer, microseconds since the epoch


class SharedClock:
    """Stands still until `set`, for everybody who opened the file.

    Others read while it is set, so the instant is written in one piece: assigning to a view of whole integers is one
    store. ``struct.pack_into`` is not: it fills with zeros first, and whoever reads then sees 1970. What is written at
    that instant is removed by retention the next night (it happened about once in two days of 5,000 sessions).
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._microseconds = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")

    @classmethod
    def create(cls, path: Path, now: datetime) -> SharedClock:
        path.write_bytes(bytes(_SIZE))
        clock = cls(path)
        clock.set(now)
        return clock

    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._microseconds[0])

    def set(self, now: datetime) -> None:
        self._microseconds[0] = (now - _EPOCH) // timedelta(microseconds=1)
