"""The verdict, as a table and as properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.attendance.intervals import Interval, clip, intersection, total, union
from server.attendance.model import Presence, attendance_of
from server.attendance.verdict import decide, minimum_presence, together
from server.sessions.model import JOIN_CLOSES, JOIN_OPENS, Outcome

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
HOUR = START + timedelta(hours=1)
PERSON = UUID(int=7)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def stays(*spans: tuple[float, float]) -> list[Interval]:
    """Presence as minutes relative to the start."""
    return [Interval(at(a), at(b)) for a, b in spans]


DONE, MENTEE_GONE, MENTOR_GONE, NOBODY = (
    Outcome.COMPLETED,
    Outcome.MENTEE_NO_SHOW,
    Outcome.MENTOR_NO_SHOW,
    Outcome.BOTH_ABSENT,
)


@pytest.mark.parametrize(
    ("mentor", "mentee", "outcome"),
    [
        pytest.param([(0, 60)], [(0, 60)], DONE, id="both, all the time"),
        pytest.param([(-5, 61)], [(3, 40)], DONE, id="one early, one a little late"),
        pytest.param([(0, 60)], [(40, 60)], DONE, id="late by 40 minutes and still met"),
        pytest.param([(0, 60)], [(58, 60)], DONE, id="met for exactly the minimum"),
        pytest.param([(0, 60)], [(58.01, 60)], MENTEE_GONE, id="met for less than the minimum, far too late"),
        pytest.param([(-15, 0)], [(-15, 0)], DONE, id="met in the quarter of an hour before the start"),
        pytest.param([(60, 75)], [(62, 75)], DONE, id="met in the quarter of an hour after the end"),
        pytest.param([(-60, -16)], [(-60, -16)], NOBODY, id="met before the room opens"),
        pytest.param([(76, 90)], [(76, 90)], NOBODY, id="met after the room has closed"),
        pytest.param([(0, 1), (5, 6)], [(0, 1), (5, 6)], DONE, id="met twice for a minute: it adds up"),
        pytest.param([(0, 30)], [], MENTEE_GONE, id="only the mentor"),
        pytest.param([], [(0, 30)], MENTOR_GONE, id="only the mentee"),
        pytest.param([(-10, 12)], [], MENTEE_GONE, id="came early, was there at the start, waited"),
        pytest.param([(-10, -1)], [], NOBODY, id="came early and left before the start"),
        pytest.param([], [], NOBODY, id="nobody"),
        pytest.param([(0, 1.9)], [], NOBODY, id="the mentor looked in for less than the minimum"),
        pytest.param([(0, 2)], [], MENTEE_GONE, id="the mentor stayed for exactly the minimum"),
        pytest.param([(10, 30)], [], MENTEE_GONE, id="the mentor came in the last moment of the grace"),
        pytest.param([(10.01, 30)], [], NOBODY, id="the mentor came after the grace"),
        pytest.param([(0, 60), (20, 40)], [(70, 74)], MENTEE_GONE, id="the mentee came when it was over"),
        pytest.param([(0, 3)], [(5, 30)], MENTOR_GONE, id="the mentor left before the mentee came"),
        pytest.param(
            [(0, 3), (30, 60)], [(5, 12)], MENTOR_GONE, id="and came back when the mentee had given up"
        ),
        pytest.param(
            [(0, 10.5)], [(10.6, 30)], MENTEE_GONE, id="the mentor waited for the whole grace and went"
        ),
        pytest.param([(0, 3)], [(4, 8)], MENTOR_GONE, id="both gone within the grace: who left first"),
        pytest.param([(4, 8)], [(0, 3)], MENTEE_GONE, id="the same the other way round"),
        pytest.param([(0, 10.5)], [(9.5, 12)], MENTOR_GONE, id="met for a minute, then the mentor left"),
    ],
)
def test_verdicts(
    mentor: list[tuple[float, float]], mentee: list[tuple[float, float]], outcome: Outcome
) -> None:
    assert decide(START, HOUR, stays(*mentor), stays(*mentee)) is outcome


def test_a_short_session_asks_for_a_twentieth_of_its_length() -> None:
    end = at(5)
    assert minimum_presence(START, end) == timedelta(seconds=15)
    assert decide(START, end, stays((0, 5)), stays((4.75, 5))) is DONE
    assert decide(START, end, stays((0, 5)), stays((4.76, 5))) is MENTEE_GONE
    assert minimum_presence(START, HOUR) == timedelta(seconds=120)


# Whole quarters of a minute from before the room opens until after it closes make collisions likely.
stretches = st.lists(
    st.tuples(st.integers(-80, 320), st.integers(0, 120)).map(
        lambda s: Interval(at(s[0] / 4), at((s[0] + s[1]) / 4))
    ),
    max_size=5,
)
ends = st.sampled_from([at(5), at(20), HOUR])
SWAPPED = {DONE: DONE, NOBODY: NOBODY, MENTEE_GONE: MENTOR_GONE, MENTOR_GONE: MENTEE_GONE}


def instants(intervals: tuple[Interval, ...] | list[Interval]) -> set[int]:
    """The eighths of a minute that lie inside."""
    return {e for e in range(-800, 1200) for i in intervals if i.start <= at(e / 8) <= i.end}


@given(stretches, stretches, ends)
def test_swapping_the_people_swaps_the_verdict(a: list[Interval], b: list[Interval], end: datetime) -> None:
    assert decide(START, end, b, a) is SWAPPED[decide(START, end, a, b)]


@given(stretches, stretches, stretches, ends)
def test_more_presence_never_turns_attended_into_absent(
    a: list[Interval], more: list[Interval], b: list[Interval], end: datetime
) -> None:
    before, after = decide(START, end, a, b), decide(START, end, a + more, b)
    if before in (DONE, MENTEE_GONE):
        assert after in (DONE, MENTEE_GONE)
    if before is DONE:
        assert after is DONE


@given(stretches, stretches, ends, st.randoms(use_true_random=False))
def test_order_and_splitting_do_not_matter(
    a: list[Interval], b: list[Interval], end: datetime, dice: object
) -> None:
    verdict = decide(START, end, a, b)
    halves = [
        half
        for i in a
        for half in (Interval(i.start, i.start + i.length / 2), Interval(i.start + i.length / 2, i.end))
    ]
    dice.shuffle(halves)  # type: ignore[attr-defined]
    assert decide(START, end, halves, b) is verdict
    assert decide(START, end, a + a, list(reversed(b))) is verdict


@given(stretches, ends)
def test_nobody_alone_completes_a_session(a: list[Interval], end: datetime) -> None:
    assert decide(START, end, a, []) in (MENTEE_GONE, NOBODY)


@given(stretches)
def test_a_union_holds_the_same_instants_disjoint_and_in_order(a: list[Interval]) -> None:
    merged = union(a)
    assert instants(merged) == instants(a)
    assert all(left.end < right.start for left, right in pairwise(merged))
    assert union(merged) == merged == union(reversed(a))


@given(stretches, stretches)
def test_the_length_of_a_union(a: list[Interval], b: list[Interval]) -> None:
    """Inclusion and exclusion: what both have is counted once."""
    assert total(a + b) == total(a) + total(b) - total(intersection(a, b))
    assert total(intersection(a, b)) == total(intersection(b, a))


@given(stretches)
def test_clipping_stays_inside(a: list[Interval]) -> None:
    inside = clip(a, START, HOUR)
    assert all(START <= i.start <= i.end <= HOUR for i in inside)
    assert total(inside) + total(clip(a, at(-1000), START)) + total(clip(a, HOUR, at(1000))) == total(a)


def test_together_ends_where_the_room_closes() -> None:
    always = stays((-100, 200))
    assert together(START, HOUR, always, always) == JOIN_OPENS + timedelta(hours=1) + JOIN_CLOSES


def presence(peer: str, start: float, end: float | None, *, media: float = 0, talk: float = 0) -> Presence:
    left = at(end) if end is not None else None
    seen = left or at(start + 1)
    return Presence(PERSON, peer, at(start), seen, left, "closed" if left else None, media, talk)


def test_a_second_tab_and_a_reload_are_one_person() -> None:
    seen = attendance_of(
        PERSON,
        "mentee",
        [
            presence("a", 0, 10, media=590, talk=100),
            presence("b", 5, 20, media=890, talk=50),
            presence("c", 30, 40, media=600, talk=10),
        ],
    )
    assert seen.first_joined_at == at(0)
    assert seen.last_left_at == at(40)
    assert seen.present_seconds == 30 * 60
    assert seen.media_seconds == 30 * 60  # two tabs sent at once, one person was there
    assert seen.talk_seconds == 160
    assert seen.intervals == tuple(stays((0, 20), (30, 40)))


def test_somebody_in_the_room_has_not_left() -> None:
    seen = attendance_of(PERSON, "mentor", [presence("a", 0, 10), presence("b", 12, None)])
    assert seen.last_left_at is None
    assert seen.present_seconds == 11 * 60


def test_nobody_was_seen() -> None:
    seen = attendance_of(PERSON, "mentor", [])
    assert (seen.first_joined_at, seen.last_left_at, seen.present_seconds, seen.intervals) == (
        None,
        None,
        0,
        (),
    )
