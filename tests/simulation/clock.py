"""One clock for several processes: an instant in a file that all of them have mapped."""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = struct.Struct("<q")  # microseconds since the epoch; eight aligned bytes are written at once


class SharedClock:
    """Stands still until `set`, for everybody who opened the file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), _INSTANT.size)

    @classmethod
    def create(cls, path: Path, now: datetime) -> SharedClock:
        path.write_bytes(bytes(_INSTANT.size))
        clock = cls(path)
        clock.set(now)
        return clock

    def now(self) -> datetime:
        [microseconds] = _INSTANT.unpack_from(self._bytes)
        return _EPOCH + timedelta(microseconds=microseconds)

    def set(self, now: datetime) -> None:
        _INSTANT.pack_into(self._bytes, 0, (now - _EPOCH) // timedelta(microseconds=1))
