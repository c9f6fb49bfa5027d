"""Who of a subscriber's senders gets how much of his line: one pure rule, and its application to the slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from media.layers import alive, pick
from media.vp8 import describe

if TYPE_CHECKING:
    from media.downlink import Downlink
    from media.outlet import Outlet
    from media.stream import Stream, Track

# Cumulative shares of libvpx's three temporal layers.
TEMPORAL_SHARES = ((0, 0.45), (1, 0.65), (3, 1.0))
RAISE = 1.1  # a better choice must fit with this much to spare; the present one need only fit
SPARE = 0.6  # a picture that has one size only is not paused before less than this share of it fits


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to show a source: bits per second; `quality` is the caller's."""

    rate: float
    quality: int


def allocate(budget: float, demands: Sequence[Sequence[Choice]], present: Sequence[int]) -> list[int]:
    """For each demand (most important first; its choices ascending) the place of the choice it gets, -1 for none.

    Everybody gets his least before anybody gets more; then the more important get more first. `present` are the
    places of the last time.
    """
    result = [-1] * len(demands)

    def fits(who: int, place: int) -> bool:
        rate = demands[who][place].rate
        before = demands[who][result[who]].rate if result[who] >= 0 else 0.0
        return (rate if place <= present[who] else rate * RAISE) - before <= budget

    for who, choices in enumerate(demands):
        if choices and fits(who, 0):
            result[who] = 0
            budget -= choices[0].rate
    for who, choices in enumerate(demands):
        if result[who] < 0:
            continue
        for place in range(1, len(choices)):
            if not fits(who, place):
                break
            budget -= choices[place].rate - choices[result[who]].rate
            result[who] = place
    return result


def apply(outlets: Sequence[Outlet], downlink: Downlink, now: float) -> tuple[list[Outlet], float]:
    """Choose layers for all receive slots of one subscriber; the slots that were paused or resumed, and how many bits
    per second everything that is wanted would need."""
    if not downlink.limited:
        return [], 0.0
    budget = downlink.estimate
    needed = 0.0
    videos: list[tuple[Outlet, Track]] = []
    demands: list[list[Choice]] = []
    offers: list[list[tuple[Stream, int]]] = []
    for outlet in outlets:
        track = outlet.track
        if track is None:
            continue
        if outlet.kind == "audio":
            rate = sum(s.bitrate.bits_per_second for s in track.streams)
            budget -= rate
            needed += rate
            continue
        choices, offer = _choices(track, outlet.wanted, now)
        if choices:
            videos.append((outlet, track))
            demands.append(choices)
            offers.append(offer)
            needed += offer[-1][0].bitrate.bits_per_second
    present = [outlet.granted for outlet, _ in videos]
    changed: list[Outlet] = []
    granted = allocate(budget, demands, present)
    for (outlet, track), offer, place in zip(videos, offers, granted, strict=True):
        outlet.granted = place
        if outlet.paused is not (place < 0):
            outlet.paused = place < 0
            changed.append(outlet)
        if place >= 0:
            best, temporal = offer[place]
            outlet.allowed = tuple(s for s, _ in offer[: place + 1]) if best is not offer[-1][0] else None
            outlet.limit_temporal(temporal)
        else:
            outlet.allowed = ()
        track.choose(outlet, now)
    return changed, needed


def _choices(track: Track, wanted: int | None, now: float) -> tuple[list[Choice], list[tuple[Stream, int]]]:
    """What the track can offer this slot, ascending: layers up to the wanted one, the least also with fewer frames."""
    streams = alive(track.streams, now)
    top = pick(streams, wanted)
    if top is None:
        return [], []
    ladder = streams[streams.index(top) :][::-1]
    choices: list[Choice] = []
    offer: list[tuple[Stream, int]] = []
    for stream in ladder:
        rate = stream.bitrate.bits_per_second
        shares = TEMPORAL_SHARES if not offer and _temporal(stream) else ((3, 1.0),)
        for temporal, share in shares:
            choices.append(Choice(rate * share, len(offer)))
            offer.append((stream, temporal))
    if len(choices) == 1:
        choices[0] = Choice(choices[0].rate * SPARE, 0)
    return choices, offer


def _temporal(stream: Stream) -> bool:
    """Whether VP8 temporal layers are in use: its descriptors then carry TL0PICIDX."""
    if stream.codec.name != "vp8" or stream.opening is None:
        return False
    packets = stream.opening.packets()
    said = describe(packets[0][3]) if packets else None
    return said is not None and said.tl0_at >= 0
