"""The verdict when we were away ourselves, and the ladder: as tables and as properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.attendance.intervals import Interval, clip, intersection, total, union, without
from server.attendance.ladder import due
from server.attendance.verdict import RULES, Finding, carried_on, decide, expected, finding, grace_ends, why
from server.sessions.model import Outcome

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
HOUR = START + timedelta(hours=1)
DONE, MENTEE_GONE, MENTOR_GONE, NOBODY, OURS = (
    Outcome.COMPLETED,
    Outcome.MENTEE_NO_SHOW,
    Outcome.MENTOR_NO_SHOW,
    Outcome.BOTH_ABSENT,
    Outcome.CANCELLED,
)
BLAMED = {
    DONE: set[str](),
    OURS: set[str](),
    MENTEE_GONE: {"mentee"},
    MENTOR_GONE: {"mentor"},
    NOBODY: {"mentor", "mentee"},
}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def spans(*pairs: tuple[float, float]) -> list[Interval]:
    """Minutes relative to the start."""
    return [Interval(at(a), at(b)) for a, b in pairs]


@pytest.mark.parametrize(
    ("mentor", "mentee", "outages", "outcome"),
    [
        pytest.param([(0, 60)], [], [(20, 40)], MENTEE_GONE, id="absent before and after it"),
        pytest.param(
            [(0, 5), (26, 60)], [], [(5, 25)], MENTEE_GONE, id="the mentor was thrown out and came back"
        ),
        pytest.param(
            [(0, 0.5)], [], [(0.6, 20)], MENTEE_GONE, id="the mentor was thrown out and stayed away"
        ),
        pytest.param([], [(0, 60)], [(5, 20)], MENTOR_GONE, id="the other way round"),
        pytest.param([], [], [(5, 20)], NOBODY, id="neither came, and could have"),
        pytest.param([], [], [(-20, 61)], OURS, id="all of it was ours"),
        pytest.param([(0, 60)], [], [(0, 31)], OURS, id="more than half of it was ours"),
        pytest.param([(0, 60)], [], [(0, 28)], MENTEE_GONE, id="and less than half"),
        pytest.param([(0, 1)], [(0, 1)], [(1, 60)], OURS, id="they had a minute of it"),
        pytest.param([(0, 11)], [(0, 11)], [(11, 60)], DONE, id="they had eleven minutes of it"),
        pytest.param(
            [(0, 60)], [(0, 60)], [(10, 60)], DONE, id="the database was away, and they met all the same"
        ),
        pytest.param([(0, 10)], [(0, 10)], [(10, 30)], DONE, id="met before it"),
        pytest.param([(0, 60)], [(12, 13)], [(0, 5)], MENTEE_GONE, id="a minute is too brief, also after it"),
        pytest.param([(5, 60)], [(14, 30)], [(0, 5)], DONE, id="met after it"),
        pytest.param([(0, 3)], [(8, 30)], [(3, 7)], OURS, id="they may have missed each other for it"),
        pytest.param([(0, 60)], [(59.5, 60)], [], MENTEE_GONE, id="joined 30 seconds before the end"),
        pytest.param([(59.5, 60)], [(59.5, 60)], [], NOBODY, id="both joined 30 seconds before the end"),
    ],
)
def test_verdicts_around_outages(
    mentor: list[tuple[float, float]],
    mentee: list[tuple[float, float]],
    outages: list[tuple[float, float]],
    outcome: Outcome,
) -> None:
    assert decide(START, HOUR, spans(*mentor), spans(*mentee), spans(*outages)) is outcome


def test_the_grace_is_time_in_which_we_were_there() -> None:
    assert grace_ends(START, HOUR) == at(10)
    assert grace_ends(START, HOUR, spans((4, 20))) == at(10 + 16 + 1)
    assert grace_ends(START, HOUR, spans((-30, 5))) == at(16)
    assert grace_ends(START, HOUR, spans((5, 58))) == HOUR
    assert total(expected(START, HOUR, spans((50, 90), (10, 19)))) == timedelta(minutes=40)


quarters = st.integers(-80, 320).map(lambda n: at(n / 4))
lengths = st.integers(0, 120).map(lambda n: timedelta(minutes=n / 4))
stretch = st.builds(lambda a, length: Interval(a, a + length), quarters, lengths)
stretches = st.lists(stretch, max_size=4)
ends = st.sampled_from([at(5), at(20), HOUR])


@settings(max_examples=300)
@given(stretches, stretches, stretches, stretch, ends)
def test_another_outage_never_makes_anybody_more_absent(
    a: list[Interval], b: list[Interval], outages: list[Interval], another: Interval, end: datetime
) -> None:
    before = decide(START, end, a, b, outages)
    after = decide(START, end, a, b, [*outages, another])
    assert BLAMED[after] <= BLAMED[before]
    if before is OURS:
        assert after in (OURS, DONE)


@given(stretches, stretches, stretches, ends, st.integers(1, 3))
def test_a_reconnect_changes_nothing(
    a: list[Interval], b: list[Interval], outages: list[Interval], end: datetime, cut: int
) -> None:
    halves = []
    for i in a:
        middle = i.start + i.length * cut / 4
        halves += [Interval(middle, i.end), Interval(i.start, middle)]
    assert decide(START, end, halves, b, outages) is decide(START, end, a, b, outages)


@given(stretches, st.lists(stretch, max_size=3), st.lists(stretch, max_size=3), ends)
def test_the_order_of_events_is_irrelevant(
    a: list[Interval], b: list[Interval], outages: list[Interval], end: datetime
) -> None:
    verdicts = {
        decide(START, end, list(reversed(a)), list(other), list(away))
        for other in permutations(b)
        for away in permutations(outages)
    }
    assert verdicts == {decide(START, end, a, b, outages)}


@given(stretches, stretches, ends)
def test_a_whole_outage_blames_nobody(a: list[Interval], b: list[Interval], end: datetime) -> None:
    assert decide(START, end, a, b, [Interval(START, end)]) in (OURS, DONE)


@given(stretches, stretches)
def test_cutting_out(a: list[Interval], b: list[Interval]) -> None:
    left = without(a, b)
    assert total(left) == total(a) - total(intersection(a, b))
    assert intersection(left, b) == ()
    assert union(left) == left


@given(stretches, stretches)
def test_what_an_outage_costs_is_given_back_and_no_more(a: list[Interval], outages: list[Interval]) -> None:
    kept = carried_on(a, outages)
    away = [Interval(o.start - RULES.slack, o.end + RULES.recovery) for o in outages]
    assert total([*a, *kept]) == total(kept)  # nothing seen is lost
    assert total(without(kept, [*a, *away])) == timedelta()


def test_media_and_the_door_are_told_apart() -> None:
    here = spans((0, 30))
    assert finding(here, 1700.0, []) is Finding.PRESENT
    assert finding(here, 9.9, here) is Finding.WITHOUT_MEDIA
    assert finding(spans((0, 0.1)), 4.0, []) is Finding.PRESENT  # six seconds in all, most of them with sound
    assert finding([], 0.0, here) is Finding.WAITING_ONLY
    assert finding([], 0.0, []) is Finding.ABSENT
    said = why(MENTEE_GONE, Finding.WITHOUT_MEDIA, Finding.WAITING_ONLY, spans((1, 2)))
    assert "mentor was there without" in said and "mentee opened the room" in said and "left out" in said


# ---------------------------------------------------------------- the ladder

NOWS = [at(n / 4) for n in range(-8, 260)]


def play(
    presence: dict[str, list[Interval]], outages: list[Interval], nows: list[datetime], end: datetime = HOUR
) -> list[tuple[datetime, str, int]]:
    """What a sweep at each of these instants does, with what is known by then."""
    done: list[tuple[datetime, str, int]] = []
    for now in nows:
        seen = {
            role: [Interval(i.start, min(i.end, now)) for i in own if i.start <= now]
            for role, own in presence.items()
        }
        here = [role for role, own in presence.items() if any(i.start <= now < i.end for i in own)]
        known = [Interval(o.start, min(o.end, now)) for o in outages if o.start <= now]
        taken = [(role, minutes) for _, role, minutes in done]
        done += [(now, s.role, s.minutes) for s in due(START, end, now, seen, here, known, taken)]
    return done


@pytest.mark.parametrize("absent", ["mentor", "mentee"])
def test_the_ladder_of_either_side(absent: str) -> None:
    other = "mentee" if absent == "mentor" else "mentor"
    assert play({other: spans((-1, 60))}, [], NOWS) == [(at(3), absent, 3), (at(10), absent, 10)]
    assert play({other: spans((-1, 60)), absent: spans((5, 6))}, [], NOWS) == [(at(3), absent, 3)]
    assert play({}, [], NOWS) == [(at(3), "mentor", 3), (at(3), "mentee", 3)]
    assert play({other: spans((-1, 60))}, spans((2, 20)), NOWS) == [(at(22), absent, 3), (at(29), absent, 10)]


@settings(max_examples=60)
@given(
    st.lists(stretch, max_size=2),
    st.lists(stretch, max_size=2),
    st.lists(stretch, max_size=2),
    st.integers(0, 20),
    st.integers(1, 11),
)
def test_whatever_happens_nobody_is_written_to_twice_or_for_nothing(
    a: list[Interval], b: list[Interval], outages: list[Interval], late: int, every: int
) -> None:
    """Sweeps that come late and rarely, up to 11 quarters of a minute apart."""
    presence = {"mentor": a, "mentee": b}
    steps = play(presence, outages, NOWS[late::every])
    assert len({(role, minutes) for _, role, minutes in steps}) == len(steps)
    for now, role, minutes in steps:
        assert START + timedelta(minutes=minutes) <= now < HOUR
        assert not any(o.start <= now < o.end for o in outages)
        assert not any(i.start <= now and i.end > START for i in clip(presence[role], at(-100), now))
    for role in presence:
        taken = [minutes for _, who, minutes in steps if who == role]
        assert taken == sorted(taken)
