"""The verdict on a session: what can be expected of a person when we were away ourselves, and who came; pure.

The numbers are `RULES`; docs/attendance.md explains them to people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from server.attendance.intervals import Interval, clip, intersection, total, union, without
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything about a verdict that is a number."""

    # How long after the start a person may come and still have been there, in time in which we were there.
    grace: timedelta = timedelta(minutes=10)
    # Presence that proves a meeting: longer than a mistake, and than somebody who looks in 30 s before the end.
    enough: timedelta = timedelta(seconds=120)
    enough_share: int = 20  # of a short session, one twentieth (5 %) proves as much
    # After an outage nobody is expected for so long: a browser tries again after 8 s at most, a person reloads.
    recovery: timedelta = timedelta(seconds=60)
    # Who was seen so shortly before an outage was thrown out by it: heartbeats come every 5 s, and are written late.
    slack: timedelta = timedelta(seconds=10)
    # When an outage took more than half of a session, those who met for so long nevertheless (or for half of what was
    # booked, if that is less) have had it; for all others it did not take place.
    despite: timedelta = timedelta(minutes=10)
    # Who sent sound or picture for less than this was there without media.
    silent: timedelta = timedelta(seconds=10)


RULES = Rules()


def expected(start: datetime, end: datetime, outages: Iterable[Interval]) -> tuple[Interval, ...]:
    """When a person could be expected in the room: the scheduled time without our outages and the minute after each."""
    away = [Interval(outage.start, outage.end + RULES.recovery) for outage in outages]
    return without([Interval(start, end)], away)


def carried_on(presence: Iterable[Interval], outages: Sequence[Interval]) -> tuple[Interval, ...]:
    """Presence with what an outage cost of it: who was there when it began is taken to have stayed until it was over.

    Only for the question whether somebody was absent. Whether two have met is asked of what was seen.
    """
    seen = union(presence)
    kept = [
        Interval(stay.end, outage.end + RULES.recovery)
        for stay in seen
        for outage in outages
        if outage.start - RULES.slack <= stay.end <= outage.end
    ]
    return union((*seen, *kept))


def minimum_presence(start: datetime, end: datetime, outages: Sequence[Interval] = ()) -> timedelta:
    """The presence that counts as having been there: 120 s, or 5 % of the expected time where that is shorter."""
    return min(RULES.enough, total(expected(start, end, outages)) / RULES.enough_share)


def grace_ends(start: datetime, end: datetime, outages: Sequence[Interval] = ()) -> datetime:
    """The instant at which a person has been expected for the whole grace, at the latest the end."""
    left = RULES.grace
    for stretch in expected(start, end, outages):
        if stretch.length >= left:
            return stretch.start + left
        left -= stretch.length
    return end


@dataclass(frozen=True, slots=True, order=True)
class _Stay:
    """How one person held out, best first by field order; more presence never makes any field smaller."""

    waited: bool  # there when the grace ended
    last_seen: datetime
    promptness: timedelta  # minus the delay of the arrival
    present: timedelta


def _stay(
    start: datetime, end: datetime, presence: Sequence[Interval], outages: Sequence[Interval]
) -> _Stay | None:
    """None when the person did not show up: too late, or too briefly."""
    inside = union(clip(carried_on(presence, outages), start, end))
    present = total(inside)
    deadline = grace_ends(start, end, outages)
    if not inside or inside[0].start > deadline or present < minimum_presence(start, end, outages):
        return None
    waited = any(i.start <= deadline <= i.end for i in inside)
    return _Stay(waited, inside[-1].end, start - inside[0].start, present)


def together(
    start: datetime, end: datetime, mentor: Sequence[Interval], mentee: Sequence[Interval]
) -> timedelta:
    """How long both were there at once, from the opening of the room to its closing."""
    return total(clip(intersection(mentor, mentee), start - JOIN_OPENS, end + JOIN_CLOSES))


def decide(
    start: datetime,
    end: datetime,
    mentor: Sequence[Interval],
    mentee: Sequence[Interval],
    outages: Sequence[Interval] = (),
) -> Outcome:
    """The verdict on a session scheduled for [start, end), from what the SFU saw of either person and our outages.

    - An outage took more than half of it: ``completed`` for those who met for ten minutes nevertheless (or half of the
      session), for all others ``cancelled``: it did not take place, and the money goes back.
    - They met for the minimum presence, also a little before or after the scheduled time: ``completed``.
    - Otherwise a person showed up who came within the grace and stayed, inside the scheduled time, for the minimum
      presence. One showed up and the other did not: the other is the no-show. Neither: ``both_absent``.
    - Both showed up and yet missed each other: if there was an outage, it may be why, and the session is
      ``cancelled``. Otherwise the one who was gone when the grace ended is the no-show; if that does not tell, whoever
      left first, then who came later, then who stayed less. Nothing tells: ``both_absent``, and the money goes back.

    Another outage never makes anybody absent who was not.
    """
    planned, left = end - start, total(expected(start, end, outages))
    met = together(start, end, mentor, mentee)
    if left < planned / 2:
        return Outcome.COMPLETED if met >= min(RULES.despite, planned / 2) else Outcome.CANCELLED
    if met >= minimum_presence(start, end, outages):
        return Outcome.COMPLETED
    match _stay(start, end, mentor, outages), _stay(start, end, mentee, outages):
        case None, None:
            return Outcome.BOTH_ABSENT
        case _, None:
            return Outcome.MENTEE_NO_SHOW
        case None, _:
            return Outcome.MENTOR_NO_SHOW
        case mentors, mentees:
            if left < planned:
                return Outcome.CANCELLED
            if mentors == mentees:
                return Outcome.BOTH_ABSENT
            # mypy cannot see that both are there
            assert mentors is not None and mentees is not None  # noqa: S101
            return Outcome.MENTEE_NO_SHOW if mentors > mentees else Outcome.MENTOR_NO_SHOW


class Finding(StrEnum):
    """How a person was there, for whoever reads the verdict."""

    PRESENT = "present"
    WITHOUT_MEDIA = "without_media"  # in the room, and sent neither sound nor picture: it counts as presence
    WAITING_ONLY = "waiting_only"  # at the door with a page that never got as far as media: it does not
    ABSENT = "absent"


def finding(present: Sequence[Interval], media_seconds: float, waiting: Sequence[Interval]) -> Finding:
    """What is to be said of one person's presence."""
    if total(present) > timedelta():
        silent = media_seconds < min(RULES.silent, total(present) / 2).total_seconds()
        return Finding.WITHOUT_MEDIA if silent else Finding.PRESENT
    return Finding.WAITING_ONLY if waiting else Finding.ABSENT


def why(outcome: Outcome, mentor: Finding, mentee: Finding, outages: Sequence[Interval]) -> str:
    """The system's reason, as a sentence for both people and for the audit."""
    said = {
        Outcome.COMPLETED: "Both were in the room together.",
        Outcome.MENTOR_NO_SHOW: "The mentee came and the mentor did not, or not for long enough.",
        Outcome.MENTEE_NO_SHOW: "The mentor came and the mentee did not, or not for long enough.",
        Outcome.BOTH_ABSENT: "Neither came in time and stayed.",
        Outcome.CANCELLED: "Our service was out of order, so the session could not take place.",
    }[outcome]
    for name, found in (("mentor", mentor), ("mentee", mentee)):
        if found is Finding.WAITING_ONLY:
            said += f" The {name} opened the room and never got a connection for sound and picture."
        elif found is Finding.WITHOUT_MEDIA:
            said += f" The {name} was there without sending sound or picture."
    if outages and outcome is not Outcome.CANCELLED:
        said += " The time in which our service was out of order was left out."
    return said
