"""Who is written to while a session runs and somebody is missing; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.attendance.intervals import Interval, clip, total
from server.attendance.verdict import RULES, expected

# Minutes after the start, of time in which we were there. The last one is the grace of the verdict.
FIRST: Final = 3
LAST: Final = 10
STEPS: Final = (FIRST, LAST)


@dataclass(frozen=True, slots=True)
class Step:
    """``role`` is to be written to; ``waiting``: the other side is in the room now."""

    role: str
    minutes: int
    waiting: bool


def arrived(start: datetime, presence: Sequence[Interval], here: bool) -> bool:
    """Whether the person has come: is in the room now, or was there after the start, however briefly.

    Who looked in early and was gone at the start has not.
    """
    return here or any(stay.end > start for stay in presence)


def due(
    start: datetime,
    end: datetime,
    now: datetime,
    presence: Mapping[str, Sequence[Interval]],
    here: Collection[str],
    outages: Sequence[Interval],
    done: Collection[tuple[str, int]],
) -> tuple[Step, ...]:
    """The steps that are due at ``now``; ``presence`` by role, ``here`` the roles in the room now, ``done`` the (role,
    minutes) that were taken.

    - After 3 minutes who has not come is written to, whether the other side waits or nobody is there.
    - After 10 minutes again, if the other side waits: where nobody waits, one letter is enough.
    - A step that was late is taken only if no later one has been; who has come is left alone.
    - Only time in which we were there counts, and in an outage and the minute after it nobody is written to.
    """
    if not start <= now < end or any(o.start <= now < o.end + RULES.recovery for o in outages):
        return ()
    waited = total(clip(expected(start, end, outages), start, now))
    steps = []
    for role, other in (("mentor", "mentee"), ("mentee", "mentor")):
        if arrived(start, presence.get(role, ()), role in here):
            continue
        waiting = other in here
        reached = [m for m in STEPS if waited >= timedelta(minutes=m) and (waiting or m == FIRST)]
        taken = max((minutes for who, minutes in done if who == role), default=0)
        if reached and reached[-1] > taken:
            steps.append(Step(role, reached[-1], waiting))
    return tuple(steps)
