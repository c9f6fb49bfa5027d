"""Who was there, drawn: each person's presence and visits, and our outages, from the room's opening to its closing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from server.attendance.evidence import Evidence, Side
from server.attendance.intervals import Interval, clip, total
from server.attendance.verdict import Finding
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS
from web.pages.views import Person
from web.rendering import spoken_duration

BAR_WIDTH = 1000  # units of the picture's view box
SLIVER = 4.0  # units: a presence of seconds must still be seen
Parts = tuple[tuple[float, float], ...]  # (x, width)


@dataclass(frozen=True, slots=True)
class Bar:
    """One person's line, in units of BAR_WIDTH: ``parts`` in the room, ``waiting`` at the door, ``away`` our
    outages."""

    person: Person
    words: str
    from_at: datetime
    to_at: datetime
    plan_x: float
    plan_width: float
    parts: Parts
    waiting: Parts
    away: Parts


def bars_of(known: Evidence, mentor: Person, mentee: Person) -> list[Bar]:
    """The mentor's line, then the mentee's."""
    return [_bar(known, known.mentor, mentor), _bar(known, known.mentee, mentee)]


def _bar(known: Evidence, side: Side, person: Person) -> Bar:
    opens, closes = known.start - JOIN_OPENS, known.end + JOIN_CLOSES
    whole = closes - opens

    def x(at: datetime) -> float:
        return round(BAR_WIDTH * ((min(max(at, opens), closes) - opens) / whole), 1)

    def parts(intervals: Iterable[Interval]) -> Parts:
        inside = clip(intervals, opens, closes)
        return tuple((x(i.start), max(SLIVER, round(x(i.end) - x(i.start), 1))) for i in inside)

    return Bar(
        person,
        words_of(side, known.away),
        opens,
        closes,
        x(known.start),
        round(x(known.end) - x(known.start), 1),
        parts(side.seen.intervals),
        parts(side.waiting),
        parts(known.away),
    )


def words_of(side: Side, away: Iterable[Interval]) -> str:
    """What the line shows, for who does not see it."""
    seen = side.seen
    waited = spoken_duration(total(side.waiting).total_seconds())
    match side.finding:
        case Finding.ABSENT:
            return "was not there"
        case Finding.WAITING_ONLY:
            return f"at the door for {waited}, never in the room"
        case Finding.WITHOUT_MEDIA:
            return f"{spoken_duration(seen.present_seconds)} present, without sound or picture"
        case Finding.PRESENT:
            words = f"{spoken_duration(seen.present_seconds)} present"
            return words + (
                f", {spoken_duration(seen.talk_seconds)} talking" if seen.talk_seconds >= 1 else ""
            )
