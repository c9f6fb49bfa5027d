"""What follows from no-shows: a pure function of what is known, whatever the order in which it became known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from server.conduct.model import (
    RULES,
    Appeal,
    Miss,
    Step,
    StepKind,
    appeal_of,
    excused,
    in_force,
    judge,
    standing,
)

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WARN, RESTRICT = RULES
DAY = timedelta(days=1)
FEW = settings(max_examples=80, deadline=None)


def miss(day: float) -> Miss:
    return Miss(EPOCH + day * DAY, UUID(int=int(day * 1000) + 1))


@dataclass
class Person:
    """Steps as the store would keep them."""

    steps: list[Step] = field(default_factory=list)

    def review(self, misses: list[Miss], now: datetime) -> list[StepKind]:
        found = judge(misses, self.steps, now)
        for each in found:
            self.add(each.kind, each.session_id, now, each.sessions, each.until, each.about)
        return [each.kind for each in found]

    def add(
        self, kind: StepKind, session: UUID, now: datetime, sessions: tuple[UUID, ...] = (),
        until: datetime | None = None, about: UUID | None = None,
    ) -> None:  # fmt: skip
        self.steps.append(Step(uuid4(), UUID(int=0), kind, session, sessions, until, about, None, "", now))


days = st.lists(st.integers(0, 300), unique=True, max_size=9)


@given(days)
@FEW
def test_reviewed_after_each_session_the_rules_hold_and_again_changes_nothing(when: list[int]) -> None:
    person, known = Person(), []
    for day in sorted(when):
        known.append(miss(day))
        now = EPOCH + (day + 0.1) * DAY
        taken = person.review(known, now)
        window = [m for m in known if m.at > known[-1].at - RESTRICT.within]
        wanted = RESTRICT if len(window) >= RESTRICT.number else WARN if len(window) >= WARN.number else None
        assert taken == ([] if wanted is None else [wanted.step])
        assert person.review(known, now) == []
        if wanted is RESTRICT:
            [held, *_] = in_force(person.steps, now)
            assert held.until == now + timedelta(days=14) and set(held.sessions) == {
                m.session_id for m in window
            }
            assert (
                not in_force(person.steps, held.until)
                and not standing(known, person.steps, held.until).can_appeal
            )


@given(days, st.randoms(use_true_random=False))
@FEW
def test_the_order_in_which_verdicts_fall_does_not_matter(when: list[int], dice: object) -> None:
    """Known late or at once, the latest no-show brings the strictest step that all of them deserve."""
    misses = [miss(day) for day in when]
    now = EPOCH + (max(when, default=0) + 0.1) * DAY
    at_once, one_by_one = Person(), Person()
    at_once.review(misses, now)
    known: list[Miss] = []
    shuffled = list(misses)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    for each in shuffled:
        known.append(each)
        one_by_one.review(known, now)
    latest = max(misses, default=None)
    strictest = [s.kind for s in at_once.steps if latest and s.session_id == latest.session_id]
    assert set(strictest) <= {
        s.kind for s in one_by_one.steps if latest and s.session_id == latest.session_id
    }
    assert (StepKind.RESTRICTED in strictest) <= bool(in_force(one_by_one.steps, now))


@given(days, st.sets(st.integers(0, 8)))
@FEW
def test_less_that_counts_never_brings_more(when: list[int], gone: set[int]) -> None:
    """An amended verdict takes nobody's freedom, and gives it back when too little is left."""
    misses = [miss(day) for day in sorted(when)]
    now = EPOCH + (max(when, default=0) + 0.1) * DAY
    person = Person()
    person.review(misses, now)
    before = in_force(person.steps, now)
    left = [m for place, m in enumerate(misses) if place not in gone]
    person.review(left, now)
    after = in_force(person.steps, now)
    assert {s.id for s in after} <= {s.id for s in before} or len(left) >= RESTRICT.number
    for held in before:
        enough = len({m.session_id for m in left} & set(held.sessions)) >= RESTRICT.number
        assert (held in after) == enough


@given(days)
@FEW
def test_an_accepted_appeal_wipes_what_it_was_about(when: list[int]) -> None:
    misses = [miss(day) for day in sorted(when)]
    now = EPOCH + (max(when, default=0) + 0.1) * DAY
    person = Person()
    person.review(misses, now)
    for held in in_force(person.steps, now):
        person.add(StepKind.APPEALED, held.session_id, now, about=held.id)
        assert appeal_of(person.steps, held.id) is Appeal.OPEN
        person.add(StepKind.APPEAL_ACCEPTED, held.session_id, now, about=held.id)
        assert set(held.sessions) <= excused(person.steps)
    assert not in_force(person.steps, now)
    assert StepKind.RESTRICTED not in person.review(misses, now)


def test_what_lies_far_back_brings_nothing_any_more() -> None:
    person = Person()
    assert person.review([miss(1), miss(2), miss(3)], EPOCH + 100 * DAY) == []
    assert person.steps == []
