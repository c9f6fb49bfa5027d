"""The counters of one process: plain numbers that the hot path adds to and the control plane reads."""

from __future__ import annotations

from media.api import DELAY_EDGES


class Tally:
    """Totals since the start. Drops are counted by reason, each reason being a fixed name from the code."""

    __slots__ = (
        "bytes_in", "bytes_out", "data_messages", "delay_counts", "delay_sum", "drops", "freeze_seconds_in",
        "freeze_seconds_out", "freezes_in", "freezes_out", "packets_in", "packets_out", "quality_counts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.packets_in = 0
        self.packets_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.drops: dict[str, int] = {}
        self.delay_counts = [0] * (len(DELAY_EDGES) + 1)
        self.delay_sum = 0.0
        self.data_messages = 0
        self.freezes_in = 0
        self.freezes_out = 0
        self.freeze_seconds_in = 0.0
        self.freeze_seconds_out = 0.0
        self.quality_counts = [0] * 5

    def drop(self, reason: str, count: int = 1) -> None:
        """Count something not handled."""
        self.drops[reason] = self.drops.get(reason, 0) + count
