"""Who is shown in which receive slot: one pure, deterministic, sticky rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from media.api import Kind

SourceKey = tuple[
    str, int
]  # (participant, position among the tracks of one kind); the same across reconnects


@dataclass(frozen=True, slots=True)
class SlotPlace:
    """A receive m-line: its mid, kind, and index among the receive m-lines of its kind."""

    mid: str
    kind: Kind
    index: int


def assign(
    places: Sequence[SlotPlace],
    current: Mapping[str, SourceKey],
    sources: Mapping[Kind, Sequence[SourceKey]],
) -> dict[str, SourceKey]:
    """From mid to source. `sources` are in order of preference; `current` is the assignment until now.

    Nobody who is still there moves. A newcomer gets the index his other medium has, so that sound and picture of
    one person share an index (and with it the browser's lip sync); else the lowest index free in both kinds; else
    the lowest free one; else nothing.
    """
    by_place: dict[tuple[Kind, int], str] = {(p.kind, p.index): p.mid for p in places}
    index_of: dict[str, int] = {p.mid: p.index for p in places}
    result: dict[str, SourceKey] = {}
    taken: dict[Kind, dict[SourceKey, int]] = {"audio": {}, "video": {}}
    for place in places:
        key = current.get(place.mid)
        if key is not None and key in sources.get(place.kind, ()) and key not in taken[place.kind]:
            result[place.mid] = key
            taken[place.kind][key] = index_of[place.mid]
    kinds: tuple[tuple[Kind, Kind], ...] = (("audio", "video"), ("video", "audio"))
    for kind, other in kinds:
        free = sorted(p.index for p in places if p.kind == kind and p.mid not in result)
        for key in sources.get(kind, ()):
            if key in taken[kind] or not free:
                continue
            busy = set(taken[other].values())
            partner = taken[other].get(key)
            if partner in free:
                index = partner
            else:
                index = next((i for i in free if i not in busy), free[0])
            free.remove(index)
            result[by_place[kind, index]] = key
            taken[kind][key] = index
    return result
