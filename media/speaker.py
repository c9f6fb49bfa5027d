"""Who is speaking in a room: a sluggish vote for the picture, so that a cough does not turn it, and a quick one for
the sound, so that nobody's first word is missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from media.slots import SourceKey

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


# Of the sound: each packet counts the decibels by which it is louder than silence (TALK_LEVEL in receive.py).
HEARD = 150.0  # a quarter of a second at -33 dBov, or constant noise at -41
PAUSE = 4  # steps without a loud packet after which somebody has stopped: longer than a breath
LOUDER = 1.5  # who is to be heard instead of another speaker must be so many times as loud


class Voices:
    """A room's sources of sound, in the order in which they are worth hearing: who hears n of them hears the first n.

    Those that speak come before those that do not; within both the order stays as it is, so that nobody is taken away
    but for a speaker, and then the one who has been quiet longest.
    """

    __slots__ = ("_idle", "_scores", "_speaking", "_totals", "order")

    def __init__(self) -> None:
        self.order: tuple[SourceKey, ...] = ()
        self._scores: dict[SourceKey, float] = {}
        self._totals: dict[SourceKey, int] = {}
        self._idle: dict[SourceKey, int] = {}  # steps since it was last loud
        self._speaking: frozenset[SourceKey] = frozenset()

    def step(self, totals: Mapping[SourceKey, int]) -> bool:
        """One step of 0.2 s: `totals` are the decibels counted of each source since it came, in the order in which
        newcomers are to be heard. True if the order has changed."""
        more = {key: max(0, total - self._totals.get(key, total)) for key, total in totals.items()}
        self._scores = scores = {key: self._scores.get(key, 0.0) * FADE + more[key] for key in totals}
        self._idle = idle = {key: 0 if more[key] else self._idle.get(key, PAUSE) + 1 for key in totals}
        self._totals = dict(totals)
        self._speaking = frozenset(
            key for key in totals
            if (idle[key] < PAUSE if key in self._speaking else not idle[key] and scores[key] >= HEARD)
        )  # fmt: skip
        known = [key for key in self.order if key in totals]
        known += [key for key in totals if key not in self.order]
        speaking = [key for key in known if key in self._speaking]
        for place in range(len(speaking) - 1, 0, -1):  # the loudest comes forward as far as he is louder
            if scores[speaking[place]] > LOUDER * scores[speaking[place - 1]]:
                speaking[place - 1 : place + 1] = speaking[place], speaking[place - 1]
        return self._sort(speaking, known)

    def enter(self, keys: Iterable[SourceKey]) -> None:
        """These are there now; those that are new come last."""
        here = dict.fromkeys(keys)
        known = [key for key in self.order if key in here]
        self.order = (*known, *(key for key in here if key not in self.order))

    def onset(self, key: SourceKey) -> bool:
        """A source that is perhaps not heard begins to make itself heard: it comes before all that are quiet."""
        speaking = [each for each in self.order if each in self._speaking and each != key]
        return self._sort([*speaking, key], self.order)

    def _sort(self, first: list[SourceKey], known: Iterable[SourceKey]) -> bool:
        before = self.order
        self.order = (*first, *(key for key in known if key not in first))
        return self.order != before
