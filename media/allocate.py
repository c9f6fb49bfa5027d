"""Who of a subscriber's senders gets how much of his line: one pure rule, and its application to the slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from media.layers import Rung, alive, ladder

if TYPE_CHECKING:
    from media.downlink import Downlink
    from media.outlet import Outlet
    from media.stream import Track

RAISE = 1.1  # a better choice must fit with this much to spare; the present one need only fit
RESUME = 1.25  # the same for a paused picture: it blinks otherwise
RESUME_SECONDS = 2.0  # nor does it come back sooner
BACK = 0.85  # with RESUME, a little more than its whole rate must fit before such a picture comes back
SPARE = 0.6  # a picture that has one size only is not paused before less than this share of it fits ...
SPARE_SCREEN = 0.4  # ... nor a screen: one frame of text late is better than none


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
        if place > present[who]:
            rate *= RESUME if present[who] < 0 else RAISE
        return rate - before <= budget

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


def apply(
    outlets: Sequence[Outlet], downlink: Downlink, now: float, speaker: str | None = None
) -> tuple[list[Outlet], float]:
    """Choose layers for all receive slots of one subscriber; the slots that were paused or resumed, and how many bits
    per second must be there for everything that is wanted to be sent.

    Sound comes first, then screens, then the participant `speaker`, then the others in the order of the slots.
    """
    if not downlink.limited:
        return [], 0.0
    budget, draining = downlink.estimate, downlink.drains(now)
    needed = 0.0
    videos: list[tuple[Outlet, Track, list[Rung]]] = []
    changed: list[Outlet] = []
    for outlet in outlets:
        track = outlet.track
        if track is not None and outlet.kind == "audio":
            rate = sum(s.bitrate.bits_per_second for s in track.streams if s is outlet.target)
            budget -= rate
            needed += rate
            continue
        rungs = (
            ladder(alive(track.streams, now), outlet.wanted, track.source == "screen")
            if track is not None
            else []
        )
        if track is not None and rungs:
            videos.append((outlet, track, rungs))
        elif outlet.paused:  # it has left, or is no longer wanted
            outlet.paused = False
            changed.append(outlet)
    videos.sort(key=lambda video: _rank(video[1], speaker))
    demands = [_choices(outlet, track, rungs, now) for outlet, track, rungs in videos]
    granted = allocate(budget, demands, [outlet.granted for outlet, _, _ in videos])
    for (outlet, track, rungs), place in zip(videos, granted, strict=True):
        outlet.granted = place
        if outlet.paused is not (place < 0):
            outlet.paused = place < 0
            outlet.judged_at = now
            changed.append(outlet)
        best = place == len(rungs) - 1
        needed += rungs[-1].rate * (1 if best else RAISE if place >= 0 else RESUME)
        held = draining and rungs[place].stream is not outlet.stream
        outlet.allowed = tuple(rung.stream for rung in rungs[: 0 if held else place + 1])
        if best and not held:
            outlet.allowed = None
        track.choose(outlet, now)
        if place >= 0:
            outlet.limit(rungs[place].spatial, rungs[place].temporal)
    return changed, needed


def _rank(track: Track, speaker: str | None) -> int:
    return 0 if track.source == "screen" else 1 if track.participant_id == speaker else 2


def _choices(outlet: Outlet, track: Track, rungs: Sequence[Rung], now: float) -> list[Choice]:
    """The rungs as choices; none as long as a picture that was just paused may not come back."""
    if outlet.paused and now - outlet.judged_at < RESUME_SECONDS:
        return []
    choices = [Choice(rung.rate, place) for place, rung in enumerate(rungs)]
    if len(choices) == 1:
        share = BACK if outlet.paused else SPARE_SCREEN if track.source == "screen" else SPARE
        choices[0] = Choice(choices[0].rate * share, 0)
    return choices
