"""Which layer of a track a subscriber is sent, and the ladder of what he could be sent: pure rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from media.stream import Stream

DEAD_SECONDS = (
    0.4  # a layer that is silent for so long while another one is not was switched off by the sender
)
FRESH_SECONDS = 0.2
ALL = 99  # no limit to the layers inside a stream
# Cumulative shares of libvpx's three temporal layers.
TEMPORAL_SHARES = ((0, 0.45), (1, 0.65), (ALL, 1.0))
# Bits a second for each line of the picture squared, as long as a stream's rate is not measured: what Chromium's
# encoder begins with, 1.6 Mb/s for 720 lines, 100 kb/s for 180.
GUESSED_RATE = 3.0


class Scalable(Protocol):
    """What a codec tells of the layers inside one stream (SVC); a stream that has some carries it as `scalable`."""

    def rungs(self) -> Sequence[tuple[int, int, int, float]]:
        """(spatial, temporal, lines or 0 if unknown, share of the stream's bits) for sending up to these layers with
        all that they depend on, in any order; empty as long as nothing is known."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to send a source: `stream` up to these layers inside it. `rate` in bits per second."""

    stream: Stream
    height: int
    rate: float
    spatial: int = ALL
    temporal: int = ALL


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


def ladder(streams: Sequence[Stream], wanted: int | None, sharp: bool) -> list[Rung]:
    """What a track with these living streams (best first) can offer a slot of `wanted` lines: each rung shows more
    than the one before and costs more, the last one is the smallest that fills the slot.

    Frames are left out of the least picture only, or, of a `sharp` one (a screen: to be read, not to be watched),
    of every picture before the next smaller one is sent.
    """
    if wanted is not None and wanted <= 0:
        return []
    rungs = [rung for place, stream in enumerate(streams) for rung in _inside(stream, place)]
    heights = sorted({rung.height for rung in rungs})
    if not heights:
        return []
    top = next((h for h in heights if wanted is not None and h >= wanted), heights[-1])
    result: list[Rung] = []
    for height in heights[: heights.index(top) + 1]:
        frames = sorted((r for r in rungs if r.height == height), key=lambda r: r.rate)
        if sharp:
            chosen = frames if height == top else frames[:1]
        else:
            chosen = frames if height == heights[0] else frames[-1:]
        for rung in chosen:
            while result and result[-1].rate >= rung.rate:
                result.pop()  # worse and not cheaper
            result.append(rung)
    return result


def inner_limit(stream: Stream, wanted: int | None) -> tuple[int, int]:
    """The layers inside a scalable stream (spatial, temporal) that `wanted` lines need."""
    heights = (
        [(height, spatial) for spatial, _, height, _ in stream.scalable.rungs()] if stream.scalable else []
    )
    filling = [spatial for height, spatial in heights if wanted is not None and height >= wanted]
    return min(filling, default=ALL), ALL


def _inside(stream: Stream, place: int) -> Iterator[Rung]:
    height = stream.height or 720 >> place
    rate = stream.bitrate.bits_per_second or GUESSED_RATE * height * height
    inside = stream.scalable.rungs() if stream.scalable is not None else ()
    for spatial, temporal, lines, share in inside:
        yield Rung(stream, lines or height >> _above(spatial, inside), rate * share, spatial, temporal)
    if not inside:
        for temporal, share in TEMPORAL_SHARES if stream.temporal else ((ALL, 1.0),):
            yield Rung(stream, height, rate * share, ALL, temporal)


def _above(spatial: int, inside: Sequence[tuple[int, int, int, float]]) -> int:
    """How many spatial layers are above this one."""
    return len({s for s, _, _, _ in inside if s > spatial})
