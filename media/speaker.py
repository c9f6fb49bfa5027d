"""Who is speaking in a room: a sluggish vote of the loud packets, so that a cough does not turn the picture."""

from __future__ import annotations

from collections.abc import Mapping

FADE = 0.7  # what is left of a score after one step; with steps of 0.2 s half of it is gone in 0.4 s
SPEAKING = 8.0  # about a quarter of a second of uninterrupted speech (10 packets a step)
SILENT = 1.0  # who falls below this has stopped, about a second after his last word
TAKE_OVER = 1.5  # who interrupts must be so many times as present


class Speakers:
    """Scores of one room, by peer id."""

    __slots__ = ("_counts", "_scores", "current")

    def __init__(self) -> None:
        self.current: str | None = None
        self._scores: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def step(self, counts: Mapping[str, int]) -> bool:
        """One step of 0.2 s: `counts` are each peer's loud packets since he came. True if the speaker is another."""
        scores = {
            peer: self._scores.get(peer, 0.0) * FADE + count - self._counts.get(peer, count)
            for peer, count in counts.items()
        }
        self._scores, self._counts = scores, dict(counts)
        before = self.current
        if before is not None and scores.get(before, 0.0) < SILENT:
            self.current = None
        best = max(scores, key=lambda peer: scores[peer], default=None)
        if best is not None and best != self.current and scores[best] >= SPEAKING:
            present = scores[self.current] if self.current is not None else 0.0
            if scores[best] > TAKE_OVER * present:
                self.current = best
        return self.current != before
