"""How evenly things flow: frames and freezes of a picture, the loop's own stalls, and shares of recent time."""

from __future__ import annotations

# webrtc-stats, freezeCount: a gap of at least max(3 x average, average + 150 ms) is a freeze.
FREEZE_FACTOR = 3.0
FREEZE_MARGIN = 0.15
FRAMES_AVERAGED = 30
STALL = 0.1  # seconds: a tick of the loop this late is heard and seen by everybody it serves
RECENT = 0.3  # weight of the newest second: what is older than about five seconds no longer counts


def threshold(average: float) -> float:
    """The shortest gap that is a freeze, of a stream whose frames are `average` seconds apart."""
    return max(FREEZE_FACTOR * average, average + FREEZE_MARGIN)


class Pace:
    """The frames of one incoming video stream by their arrival (monotonic seconds); one call per frame.

    A gap that the sender's own timestamps show too is his pause (a camera off, a still screen) and no freeze, unless
    packets are missing there. The average is exponential over about 30 frames where webrtc-stats takes a linear one.
    """

    __slots__ = ("_timestamp", "at", "average", "frames", "freeze_seconds", "freezes")

    def __init__(self) -> None:
        self.at = 0.0  # arrival of the latest frame's first packet; 0 before the first
        self.average = 0.0
        self.frames = 0
        self.freezes = 0
        self.freeze_seconds = 0.0
        self._timestamp = 0

    def step(self, timestamp: int, now: float, clock_rate: int, missing: bool) -> float:
        """A frame begins; the seconds of the freeze that it ended, 0 if there was none. A late packet of an older
        frame changes nothing."""
        ahead = timestamp - self._timestamp & 0xFFFFFFFF
        if ahead >= 0x80000000 and self.frames:
            return 0.0
        gap = now - self.at
        self.at = now
        self._timestamp = timestamp
        self.frames += 1
        if self.frames == 1:
            return 0.0
        limit = threshold(self.average)
        if self.frames > 2 and gap >= limit and (missing or ahead < limit * clock_rate):
            self.freezes += 1
            self.freeze_seconds += gap
            return gap
        self.average += (gap - self.average) / min(self.frames - 1, FRAMES_AVERAGED)
        return 0.0


class Watch:
    """The freezes of one receive slot, by looking at it every tenth of a second: nothing is added per packet.

    Gaps shorter than two looks may be missed.
    """

    __slots__ = ("_at", "_frozen", "_seen", "freeze_seconds", "freezes")

    def __init__(self) -> None:
        self.freezes = 0
        self.freeze_seconds = 0.0
        self._seen = -1
        self._at = 0.0  # when the last new frame was seen, or the last moment that does not count
        self._frozen = False

    def look(self, timestamp: int, expected: bool, limit: float, now: float) -> float:
        """`timestamp` is of the last frame sent; `expected`: its source has newer ones and somebody wants them;
        `limit` is the source's `threshold`. The seconds to add to what was frozen."""
        if not expected or timestamp != self._seen:
            self._seen = timestamp
            self._at = now
            self._frozen = False
            return 0.0
        gap = now - self._at
        if gap < limit:
            return 0.0
        if not self._frozen:
            self._frozen = True
            self.freezes += 1
        self._at = now
        self.freeze_seconds += gap
        return gap


class Stalls:
    """How late the loop's own timer is: while it is, nobody's packets are read."""

    __slots__ = ("_at", "_recent_at", "_recent_seconds", "count", "seconds", "share")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.share = 0.0  # of recent time
        self._at = -1.0
        self._recent_at = 0.0
        self._recent_seconds = 0.0

    def pause(self) -> None:
        """The timer stops on purpose."""
        self._at = -1.0

    def tick(self, now: float, interval: float) -> float:
        """The timer ran at `now`, `interval` after the last time if all was well; the stall's seconds, or 0."""
        late = now - self._at - interval if self._at >= 0 else 0.0
        self._at = now
        if now - self._recent_at >= 1.0:
            lately = (self.seconds - self._recent_seconds) / max(1.0, now - self._recent_at)
            self.share += (min(1.0, lately) - self.share) * RECENT
            self._recent_at, self._recent_seconds = now, self.seconds
        if late < STALL:
            return 0.0
        self.count += 1
        self.seconds += late
        return late


class Recent:
    """The share of recent time that a growing total of seconds stands for, from one look a second."""

    __slots__ = ("_at", "_total", "share")

    def __init__(self) -> None:
        self.share = 0.0
        self._total = 0.0
        self._at = 0.0

    def update(self, total: float, now: float) -> None:
        """`total` seconds have been counted up to `now`."""
        if now > self._at > 0:
            lately = min(1.0, (total - self._total) / (now - self._at))
            self.share += (lately - self.share) * RECENT
        self._at = now
        self._total = total
