"""Identifiers: UUIDs of version 7, so that rows sort by the time they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID

_last = 0  # the newest 60-bit time stamp given out


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562 sections 5.7 and 6.2): milliseconds, 12 bits below them, 62 random bits.

    Ids of one process rise strictly, also when two are made in one tick of the clock or the clock is set back.
    """
    global _last
    millis, nanos = divmod(time.time_ns(), 1_000_000)
    _last = stamp = max(millis << 12 | nanos * 4096 // 1_000_000, _last + 1)
    value = stamp >> 12 << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | int.from_bytes(os.urandom(8), "big") >> 2)
