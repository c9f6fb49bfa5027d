"""Counting no-shows: the rules as data, what follows from them, what holds now, and the fact of each step; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final
from uuid import UUID

from server.base.errors import Conflict, FieldError
from server.people.model import text_faults

MAX_WORDS: Final = 1000  # characters of an appeal, or of a reason
CORRECTED: Final = "What was counted has been corrected."  # why a restriction ends that nobody has lifted


class StepKind(StrEnum):
    WARNED = "warned"
    RESTRICTED = "restricted"
    LIFTED = "lifted"
    APPEALED = "appealed"
    APPEAL_ACCEPTED = "appeal_accepted"
    APPEAL_REJECTED = "appeal_rejected"


_ENDS: Final = frozenset({StepKind.LIFTED, StepKind.APPEAL_ACCEPTED})


@dataclass(frozen=True, slots=True)
class Rule:
    """``number`` no-shows within ``within`` bring the step, a restriction for ``lasts``."""

    number: int
    within: timedelta
    step: StepKind
    lasts: timedelta | None = None


# From mild to strict. Only a clear no-show counts: one came and the other did not.
RULES: Final = (
    Rule(2, timedelta(days=90), StepKind.WARNED),
    Rule(3, timedelta(days=90), StepKind.RESTRICTED, timedelta(days=14)),
)


@dataclass(frozen=True, slots=True, order=True)
class Miss:
    """A session the person did not come to, by its verdict as it stands."""

    at: datetime  # its start
    session_id: UUID


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as it was taken; ``about`` is the restriction it concerns, None for warnings and restrictions."""

    id: UUID
    person_id: UUID
    kind: StepKind
    session_id: UUID
    sessions: tuple[UUID, ...]
    until: datetime | None
    about: UUID | None
    actor_id: UUID | None
    words: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Next:
    """A step that follows and has not been taken."""

    kind: StepKind
    session_id: UUID
    sessions: tuple[UUID, ...] = ()
    until: datetime | None = None
    about: UUID | None = None
    words: str = ""


def in_force(steps: Iterable[Step], now: datetime) -> tuple[Step, ...]:
    """The restrictions that hold, the one that lasts longest first."""
    known = tuple(steps)
    over = {step.about for step in known if step.kind in _ENDS}
    held = [
        s
        for s in known
        if s.kind is StepKind.RESTRICTED and s.id not in over and s.until is not None and s.until > now
    ]
    return tuple(sorted(held, key=lambda s: (s.until or now, s.at, s.id), reverse=True))


def excused(steps: Sequence[Step]) -> frozenset[UUID]:
    """The sessions that count no more: those of a restriction whose appeal was accepted."""
    accepted = {step.about for step in steps if step.kind is StepKind.APPEAL_ACCEPTED}
    return frozenset(session for step in steps if step.id in accepted for session in step.sessions)


def counting(misses: Iterable[Miss], steps: Sequence[Step]) -> list[Miss]:
    """The misses that count, in order."""
    out = excused(steps)
    return sorted(miss for miss in misses if miss.session_id not in out)


def judge(
    misses: Iterable[Miss], steps: Sequence[Step], now: datetime, rules: Sequence[Rule] = RULES
) -> tuple[Next, ...]:
    """What follows from the misses as they are known now.

    - A restriction that would not have come about without the misses that no longer count (a verdict was amended, an
      appeal accepted) is lifted.
    - The latest miss is looked at with those up to ``within`` before it: the strictest rule that they fulfil brings its
      step, unless this miss has brought it, or a stricter one, before. An older miss that becomes known later counts
      with it; one that lies back longer than ``within`` brings nothing any more.
    """
    counted = counting(misses, steps)
    known = {miss.session_id for miss in counted}
    found = [
        Next(StepKind.LIFTED, held.session_id, about=held.id, words=CORRECTED)
        for held in in_force(steps, now)
        if len(known & set(held.sessions)) < min(r.number for r in rules if r.step is StepKind.RESTRICTED)
    ]
    if not counted:
        return tuple(found)
    latest = counted[-1]
    brought = {step.kind for step in steps if step.session_id == latest.session_id and step.about is None}
    for place in range(len(rules) - 1, -1, -1):
        rule = rules[place]
        if brought & {stricter.step for stricter in rules[place:]} or latest.at <= now - rule.within:
            break
        inside = [miss for miss in counted if miss.at > latest.at - rule.within]
        if len(inside) >= rule.number:
            until = None if rule.lasts is None else now + rule.lasts
            found.append(Next(rule.step, latest.session_id, tuple(m.session_id for m in inside), until))
            break
    return tuple(found)


class Appeal(StrEnum):
    """Of one restriction."""

    NONE = "none"
    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


def appeal_of(steps: Iterable[Step], restriction_id: UUID) -> Appeal:
    kinds = {step.kind for step in steps if step.about == restriction_id}
    if StepKind.APPEAL_ACCEPTED in kinds:
        return Appeal.ACCEPTED
    if StepKind.APPEAL_REJECTED in kinds:
        return Appeal.REJECTED
    return Appeal.OPEN if StepKind.APPEALED in kinds else Appeal.NONE


@dataclass(frozen=True, slots=True)
class Standing:
    """How a person stands: ``restriction`` None is free to book and be booked."""

    restriction: Step | None
    appeal: Appeal
    misses: tuple[Miss, ...]  # that count
    steps: tuple[Step, ...]

    @property
    def can_appeal(self) -> bool:
        return self.restriction is not None and self.appeal is Appeal.NONE


def standing(misses: Iterable[Miss], steps: Sequence[Step], now: datetime) -> Standing:
    """As it is now; misses that lie back longer than any rule looks are left out."""
    held = in_force(steps, now)
    longest = max(rule.within for rule in RULES)
    recent = tuple(miss for miss in counting(misses, steps) if miss.at > now - longest)
    appeal = appeal_of(steps, held[0].id) if held else Appeal.NONE
    return Standing(held[0] if held else None, appeal, recent, tuple(steps))


def next_answer(steps: Sequence[Step], restriction: Step, kind: StepKind, now: datetime) -> bool:
    """Whether an administrator's step is still to be taken; False when it was taken before.

    Raises ``Conflict`` with ``no_open_appeal``, or ``not_in_force`` when the restriction has ended.
    """
    if any(step.kind is kind for step in steps if step.about == restriction.id):
        return False
    if kind is not StepKind.LIFTED and appeal_of(steps, restriction.id) is not Appeal.OPEN:
        raise Conflict("no_open_appeal", "There is no appeal to answer.")
    if kind is StepKind.LIFTED and restriction not in in_force(steps, now):
        raise Conflict("not_in_force", "This restriction has ended.")
    return True


def words_faults(field: str, words: str) -> list[FieldError]:
    return text_faults(field, words.strip(), longest=MAX_WORDS, needed=True, lines=True)


@dataclass(frozen=True, slots=True)
class ConductStepTaken:
    """A person was warned, restricted, set free, heard or answered; the row says the rest."""

    KIND: ClassVar[str] = "conduct_step_taken"
    session_id: UUID
    at: datetime
    step_id: UUID
    person_id: UUID
    step: StepKind
