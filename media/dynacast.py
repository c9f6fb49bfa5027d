"""Which layers of its video a publisher need not send, because nobody in the room would be sent them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from media.stream import Track

# Nobody wants a layer for so long: somebody who left often comes back, and starting again costs a keyframe.
OFF_SECONDS = 2.0


def wanted(track: Track, heights: Iterable[int | None]) -> tuple[str, ...]:
    """The layers for viewers who want so many lines each (None the best, 0 nothing): the best that one of them would
    be sent, and all below it, to which he falls back when his line narrows. In the order of the offer."""
    lines = [height for height in heights if height is None or height > 0]
    if not lines:
        return ()
    if not track.rids:
        return ("",)
    sizes = _sizes(track)
    most = max(_filling(sizes, height) for height in lines)
    return tuple(rid for rid, size in sizes.items() if size <= most)


def _filling(sizes: dict[str, int], height: int | None) -> int:
    """The least layer that fills `height` lines, else the best (layers.pick, but among all that were offered)."""
    return min((s for s in sizes.values() if height is not None and s >= height), default=max(sizes.values()))


def _sizes(track: Track) -> dict[str, int]:
    """Lines of each layer. One that was never seen is taken for half its predecessor in the offer, the first of
    all-unknown ones for 720 lines."""
    known = [(place, track.layers[rid].height) for place, rid in enumerate(track.rids) if rid in track.layers]
    place, height = next(((p, h) for p, h in known if h), (0, 720))
    sizes = {rid: max(1, height << place >> at) for at, rid in enumerate(track.rids)}
    return sizes | {
        rid: track.layers[rid].height for rid in sizes if rid in track.layers and track.layers[rid].height
    }


class Announced:
    """What the publisher of one track was told last. Times are monotonic seconds."""

    __slots__ = ("_idle_since", "_unwanted", "rids")

    def __init__(self, rids: tuple[str, ...]) -> None:
        """`rids` are what the offer named; a publisher sends everything until he is told otherwise."""
        self.rids = rids or ("",)
        self._unwanted: frozenset[str] = frozenset()
        self._idle_since = 0.0

    def step(self, wanted: tuple[str, ...], order: tuple[str, ...], now: float) -> bool:
        """True if `rids` has changed: a layer is on at once, off when it was unwanted for OFF_SECONDS."""
        unwanted = frozenset(self.rids) - frozenset(wanted)
        if unwanted != self._unwanted:
            self._unwanted, self._idle_since = unwanted, now
        keep = frozenset() if now - self._idle_since >= OFF_SECONDS else unwanted
        told = tuple(rid for rid in order or ("",) if rid in wanted or rid in keep)
        if told == self.rids:
            return False
        self.rids = told
        self._unwanted = frozenset(told) - frozenset(wanted)
        return True
