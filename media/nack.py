"""Which packets of an incoming stream are missing, when to ask for them again, and when to give up."""

from __future__ import annotations

from collections.abc import Callable


class MissingPackets:
    """Gaps of one stream by extended sequence number. Times are monotonic seconds.

    A packet is asked for 20 ms after the gap was seen (reordering on the internet is mostly shorter), then every
    round trip (bounded to 20-400 ms) growing by a quarter, five times in all: LiveKit's schedule. A gap of more
    than 128 packets is a pause or a new start, not loss that retransmission could mend.
    """

    __slots__ = ("_alarm", "_due")

    FIRST_DELAY = 0.02
    GROWTH = 1.25
    TRIES = 5
    MAX_GAP = 128
    MAX_MISSING = 256

    def __init__(self, alarm: Callable[[], object] = int) -> None:
        """`alarm` is called when something begins to be missing, so that nobody need look where nothing is."""
        self._alarm = alarm
        self._due: dict[int, tuple[float, int]] = {}  # number -> (when to ask next, how often asked)

    def __len__(self) -> int:
        return len(self._due)

    def __bool__(self) -> bool:
        return bool(self._due)

    def gap(self, first: int, end: int, now: float) -> bool:
        """Numbers first..end-1 were skipped. False if that is too much to mend: ask for a keyframe then."""
        if end - first > self.MAX_GAP or len(self._due) + end - first > self.MAX_MISSING:
            self._due.clear()
            return False
        self._alarm()
        due = (now + self.FIRST_DELAY, 0)
        for number in range(first, end):
            self._due[number] = due
        return True

    def arrived(self, number: int) -> None:
        """A late or retransmitted packet came."""
        self._due.pop(number, None)

    def take_due(self, now: float, rtt: float) -> tuple[list[int], bool]:
        """(numbers to ask for now in ascending order, whether any was given up)."""
        ask: list[int] = []
        given_up = False
        base = min(max(rtt, 0.02), 0.4)
        for number, (due, tries) in list(self._due.items()):
            if due > now:
                continue
            if tries >= self.TRIES:
                del self._due[number]
                given_up = True
                continue
            self._due[number] = (now + min(base * self.GROWTH**tries, 0.4), tries + 1)
            ask.append(number)
        ask.sort()
        return ask, given_up
