"""What people do on the simulated days: made from a seed, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

ZONES = (
    "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo",
)  # fmt: skip
# Payroll closes in the middle of the simulated time. A long one sees Europe's clocks go back the night before; the
# United States follow a week later, Lord Howe has been ahead for three weeks.
PAYDAY = datetime(2026, 10, 26, 0, 0, tzinfo=UTC)
LENGTH = timedelta(hours=1)
PRICE = 30
ASKED = timedelta(hours=4)
BACK_AFTER = timedelta(seconds=10)


class Conduct(StrEnum):
    """Who is seen when the session takes place."""

    BOTH = "both"
    RELOADS = "reloads"  # both; the mentee is away twice for half a minute
    MENTOR_ONLY = "mentor_only"
    MENTEE_ONLY = "mentee_only"
    NOBODY = "nobody"


OUTCOMES = {
    Conduct.BOTH: "completed",
    Conduct.RELOADS: "completed",
    Conduct.MENTOR_ONLY: "mentee_no_show",
    Conduct.MENTEE_ONLY: "mentor_no_show",
    Conduct.NOBODY: "both_absent",
}


@dataclass(frozen=True, slots=True)
class Person:
    """``whatsapp`` and ``sms``: a verified number, or none."""

    number: int
    role: str
    zone: str
    whatsapp: str | None
    sms: str | None

    @property
    def name(self) -> str:
        return f"{self.role.title()} {self.number:04}"

    @property
    def email(self) -> str:
        return f"{self.role}-{self.number:04}@example.org"


@dataclass(frozen=True, slots=True)
class Agreement:
    """A time both had agreed on, from an instant until another (exclusive)."""

    start: datetime
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Outage:
    """No web process runs: nobody can meet, and nobody is to be blamed for it."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """``told``: the SFU lives to tell that it ended."""

    role: str
    peer: str
    came: datetime
    went: datetime
    told: bool


@dataclass(frozen=True, slots=True)
class Story:
    """One booking from the request to its end."""

    number: int
    mentor: int
    mentee: int
    start: datetime
    booked_at: datetime
    approved_at: datetime | None = None
    rejected_at: datetime | None = None
    move_at: datetime | None = None  # the mentor proposes ...
    moved_at: datetime | None = None  # ... and the mentee agrees
    moved_start: datetime | None = None
    cancelled_at: datetime | None = None
    by_mentor: bool = False
    conduct: Conduct = Conduct.BOTH
    answers: tuple[tuple[str, datetime], ...] = ()  # (role, when) of a yes to the question whether they come

    @property
    def topic(self) -> str:
        return f"Story {self.number:05}"

    @property
    def final_start(self) -> datetime:
        return self.moved_start or self.start

    @property
    def held(self) -> bool:
        """Whether the session takes place, whoever comes."""
        return self.approved_at is not None and self.cancelled_at is None

    @property
    def agreements(self) -> tuple[Agreement, ...]:
        if self.approved_at is None:
            return ()
        end = self.cancelled_at or datetime.max.replace(tzinfo=UTC)
        if self.moved_at is None or self.moved_start is None:
            return (Agreement(self.start, self.approved_at, end),)
        return (
            Agreement(self.start, self.approved_at, self.moved_at),
            Agreement(self.moved_start, self.moved_at, end),
        )

    def stays(self, outages: Sequence[Outage]) -> Iterator[Stay]:
        """What the SFU sees, or would see but for our outages: whoever is there when one begins is lost without a
        word, and comes back ten seconds after it."""
        for role, peer, came, went in self._meant():
            hit = next((o for o in outages if came < o.until and went > o.since), None)
            if hit is None:
                yield Stay(role, peer, came, went, True)
                continue
            if came < hit.since:
                yield Stay(role, peer, came, hit.since, False)
            if went > hit.until + BACK_AFTER:
                yield Stay(role, f"{peer}-back", max(came, hit.until + BACK_AFTER), went, True)

    def _meant(self) -> Iterator[tuple[str, str, datetime, datetime]]:
        start, end = self.final_start, self.final_start + LENGTH
        jitter = timedelta(seconds=self.number % 50)
        if self.conduct in (Conduct.BOTH, Conduct.RELOADS, Conduct.MENTOR_ONLY):
            alone = self.conduct is Conduct.MENTOR_ONLY
            left = start + timedelta(minutes=45) if alone else end + timedelta(seconds=20)
            yield "mentor", f"m{self.number}", start - timedelta(minutes=1) + jitter, left + jitter
        if self.conduct in (Conduct.BOTH, Conduct.MENTEE_ONLY):
            alone = self.conduct is Conduct.MENTEE_ONLY
            left = start + timedelta(minutes=44) if alone else end + timedelta(seconds=5)
            yield "mentee", f"e{self.number}", start + jitter, left + jitter
        if self.conduct is Conduct.RELOADS:
            times = (
                start + jitter,
                start + timedelta(minutes=20),
                start + timedelta(minutes=21),
                end + jitter,
            )
            yield "mentee", f"e{self.number}a", times[0], times[1]
            yield "mentee", f"e{self.number}b", times[2], times[3] - timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Script:
    """``hours`` of stories, then nothing new; ``mentors`` and ``mentees`` by number."""

    seed: int
    begin: datetime
    hours: int
    mentors: tuple[Person, ...]
    mentees: tuple[Person, ...]
    stories: tuple[Story, ...]
    outages: tuple[Outage, ...]

    @property
    def end(self) -> datetime:
        """When everything has been settled."""
        return self.begin + timedelta(hours=self.hours, minutes=30)


def write(seed: int, stories: int, hours: int) -> Script:
    """A script for so many stories whose sessions begin within so many hours (the first two are for booking)."""
    dice, begin = Random(seed), PAYDAY - timedelta(hours=hours // 2)
    usable = [begin + timedelta(hours=h) for h in range(2, hours)]
    # Every story takes one hour of a mentor and a mentee, some two: people enough for half of their hours.
    crowd = max(4, -(-stories * 5 // (2 * len(usable))))
    mentors = tuple(_person(dice, n, "mentor") for n in range(crowd))
    mentees = tuple(_person(dice, n, "mentee") for n in range(crowd))
    taken: set[tuple[str, int, datetime]] = set()
    written: list[Story] = []
    while len(written) < stories:
        mentor, mentee = dice.randrange(crowd), dice.randrange(crowd)
        start, other = dice.sample(usable, 2)
        wanted = {("mentor", mentor, start), ("mentee", mentee, start)}
        moves = dice.random() < 0.12 and min(start, other) >= begin + timedelta(hours=3)
        if moves:
            wanted |= {("mentor", mentor, other), ("mentee", mentee, other)}
        if wanted & taken:
            continue
        taken |= wanted
        written.append(_story(dice, len(written), begin, mentor, mentee, start, other if moves else None))
    # From five minutes before a full hour until twenty past: sessions begin, and some end, within it.
    full = [begin + timedelta(hours=h) for h in range(3, hours, 8)]
    outages = tuple(Outage(hour - timedelta(minutes=5), hour + timedelta(minutes=20)) for hour in full)
    return Script(seed, begin, hours, mentors, mentees, tuple(written), outages)


def _person(dice: Random, number: int, role: str) -> Person:
    side = 1 if role == "mentor" else 2
    whatsapp = f"+4915{side}{number:07}" if dice.random() < 0.5 else None
    sms = f"+4917{side}{number:07}" if dice.random() < 0.15 else None
    return Person(number, role, dice.choice(ZONES), whatsapp, sms)


def _story(
    dice: Random,
    number: int,
    begin: datetime,
    mentor: int,
    mentee: int,
    start: datetime,
    other: datetime | None,
) -> Story:
    def minutes(least: int, most: int) -> timedelta:
        return timedelta(seconds=dice.randrange(least * 60, most * 60))

    first = min(start, other or start)
    if other is None and dice.random() < 0.15:
        booked = start - minutes(16, 24)  # at the last moment: the shortest tier only
    else:
        booked = max(begin + minutes(1, 20), first - minutes(100, 600))
    approved = booked + minutes(1, 6)
    conduct = dice.choices(list(Conduct), (66, 14, 6, 5, 9))[0]
    by_mentor = dice.random() < 0.5
    base = Story(number, mentor, mentee, start, booked, conduct=conduct, by_mentor=by_mentor)
    if dice.random() < 0.05 and other is None:
        return _with(base, rejected_at=approved)
    if other is not None:
        asked = approved + minutes(5, 20)
        moved = asked + minutes(2, 20)
        agreed = _with(base, approved_at=approved, move_at=asked, moved_at=moved, moved_start=other)
        since, last = moved, other
    else:
        agreed, since, last = _with(base, approved_at=approved), approved, start
    agreed = _with(agreed, answers=tuple(_answers(dice, last, since)))
    if dice.random() < 0.12 and last - since > timedelta(minutes=10):
        return _with(agreed, cancelled_at=since + (last - since) * dice.uniform(0.1, 0.95))
    return agreed


def _answers(dice: Random, start: datetime, since: datetime) -> Iterator[tuple[str, datetime]]:
    """Of those who were asked four hours before: most in time, some too late, some never."""
    if start - ASKED < since:
        return
    for role in ("mentor", "mentee"):
        luck = dice.random()
        if luck < 0.65:
            yield role, start - ASKED + timedelta(minutes=dice.uniform(13, 100))
        elif luck < 0.8:
            yield role, start - timedelta(minutes=dice.uniform(20, 100))


def _with(story: Story, **changes: object) -> Story:
    values = {name: getattr(story, name) for name in Story.__slots__}
    return Story(**{**values, **changes})
