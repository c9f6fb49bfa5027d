"""What the sockets did, as plain totals and gauges; whoever exposes metrics reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """Totals since the start but for ``connections`` and ``backlog``, which are of now.

    ``refusals`` counts by name why a socket or a message was refused: ``room_token_expired``, ``bad_json``,
    ``too_many``, ``slow_consumer``, ``foreign_origin``...
    """

    connections: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    takeovers: int = 0
    resumed: int = 0
    presence_written: int = 0
    presence_retries: int = 0
    presence_lost: Counter[str] = field(
        default_factory=Counter
    )  # reason -> events that never became attendance
