"""A timer wheel shared by all peers of a generator: thousands of periodic sends for one list append each."""

from collections.abc import Callable

# Called with (due, now) in nanoseconds; returns when it wants to be called next, 0 for never again.
Action = Callable[[int, int], int]


class Wheel:
    """Spokes of half a millisecond. What is further away than SPAN_NS waits on the last spoke and is put on again.

    That is only met after a stall: the wheel then stands behind the clock by which its users reckon.
    """

    TICK_NS = 500_000
    SPOKES = 8192
    SPAN_NS = TICK_NS * (SPOKES - 1)  # 4.1 s: connectivity checks go out every 2.5 s

    def __init__(self, now: int) -> None:
        self._spokes: list[list[tuple[int, Action]]] = [[] for _ in range(self.SPOKES)]
        self._tick = now // self.TICK_NS

    def add(self, due: int, action: Action) -> None:
        """Call `action` in the first turn after `due`; what is past already is called in the next turn."""
        tick = min(max(due // self.TICK_NS + 1, self._tick), self._tick + self.SPOKES - 1)
        self._spokes[tick % self.SPOKES].append((due, action))

    def turn(self, now: Callable[[], int]) -> None:
        """Call everything that is due. `now` is read again for each call: a long turn makes the later ones later."""
        target = now() // self.TICK_NS
        while self._tick <= target:
            spoke = self._spokes[self._tick % self.SPOKES]
            self._spokes[self._tick % self.SPOKES] = []
            self._tick += 1
            for due, action in spoke:
                current = now()
                again = action(due, current) if due <= current else due
                if again:
                    self.add(again, action)
