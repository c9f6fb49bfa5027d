"""Identifiers: UUIDs of version 7, so that rows sort by the time they were made."""

from __future__ import annotations

import os
import time
from uuid import UUID


def new_id() -> UUID:
    """A new UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, 74 random bits."""
    millis = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (millis & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)
