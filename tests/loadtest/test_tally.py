"""Loss accounting: exact whatever is lost, repeated or out of order."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.tally import Tally


@given(
    st.lists(st.integers(0, 3000), max_size=300),
    st.integers(0, 3000),
    st.integers(0, 3000),
)
def test_it_agrees_with_a_set(arrivals: list[int], first: int, end: int) -> None:
    tally = Tally()
    seen: set[int] = set()
    for index in arrivals:
        assert tally.add(index) == (index not in seen)
        seen.add(index)
    assert tally.came(first, end) == len([index for index in seen if first <= index < end])
    assert tally.duplicates == len(arrivals) - len(seen)
    assert tally.highest == max(seen, default=-1)


@given(st.integers(1, 200), st.sets(st.integers(0, 199)), st.randoms(use_true_random=False))
def test_loss_is_what_was_lost(sent: int, lost: set[int], random: object) -> None:
    arriving = [index for index in range(sent) if index not in lost] * 2  # every packet twice, in any order
    random.shuffle(arriving)  # type: ignore[attr-defined]
    tally = Tally()
    for index in arriving:
        tally.add(index)
    assert sent - tally.came(0, sent) == len([index for index in lost if index < sent])


def test_only_what_comes_after_a_later_one_counts_as_reordered() -> None:
    tally = Tally()
    for index in (0, 1, 4, 2, 3, 5, 3):
        tally.add(index)
    assert (tally.reordered, tally.duplicates, tally.came(0, 6)) == (2, 1, 6)


def test_an_absurd_index_costs_no_memory() -> None:
    tally = Tally()
    assert not tally.add(Tally.MAX_INDEX)
    assert tally.highest == -1
    assert tally.came(0, Tally.MAX_INDEX + 1) == 0
