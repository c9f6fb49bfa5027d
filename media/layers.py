"""Which of a track's simulcast layers a subscriber is sent: one pure rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Stream

DEAD_SECONDS = (
    0.4  # a layer that is silent for so long while another one is not was switched off by the sender
)
FRESH_SECONDS = 0.2


def best_first(streams: Sequence[Stream], rids: Sequence[str]) -> tuple[Stream, ...]:
    """By height where all are known, else in the order of the offer, which by convention begins with the best."""
    if all(s.height for s in streams):
        return tuple(sorted(streams, key=lambda s: -s.height))
    return tuple(sorted(streams, key=lambda s: rids.index(s.rid) if s.rid in rids else 0))


def alive(streams: Sequence[Stream], now: float) -> tuple[Stream, ...]:
    """Without those the sender has switched off. If all are silent (a still screen, a lost network) all stay."""
    if not any(now - s.alive_at <= FRESH_SECONDS for s in streams):
        return tuple(streams)
    return tuple(s for s in streams if now - s.alive_at <= DEAD_SECONDS)


def pick(streams: Sequence[Stream], wanted: int | None) -> Stream | None:
    """From layers with the best first: the smallest that fills `wanted` lines (None: the best); None for nothing.

    Without known heights each layer is taken for half its predecessor, the best for 720 lines.
    """
    if wanted is not None and wanted <= 0:
        return None
    chosen: Stream | None = None
    for place, stream in enumerate(streams):
        height = stream.height or 720 >> place
        if chosen is None or (wanted is not None and height >= wanted):
            chosen = stream
    return chosen
