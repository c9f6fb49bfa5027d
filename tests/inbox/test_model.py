"""What is news to somebody who knows some of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from server.inbox.model import WINDOW, Item, Look, news, path_of, since, told

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HOUSE = "https://mentoring.example"


def item(n: int, body: str = "", url: str | None = None) -> Item:
    """The ``n``-th message: one a second."""
    return Item(UUID(int=n * 1000 << 80), "reminder", f"S{n}", body, url, None, AT, None)


def window(ids: set[int]) -> Look:
    newest = sorted(ids, reverse=True)[:WINDOW]
    return Look(len(newest), tuple(item(n) for n in newest))


@settings(max_examples=50)
@given(st.sets(st.integers(1, 200), min_size=1, max_size=40), st.sets(st.integers(1, 200), max_size=25))
def test_everything_that_came_is_news_once_or_asked_for(before: set[int], more: set[int]) -> None:
    """Whatever the order in which messages come to light, nobody misses one that a look shows."""
    known, look = window(before), window(before | more)
    fresh = news(known.ids, look)
    if fresh is None:
        assert not known.ids & look.ids
        return
    assert {it.id for it in fresh} == look.ids - known.ids
    assert [it.id.int for it in fresh] == sorted(it.id.int for it in fresh)
    assert news(look.ids, look) == ()


def test_a_first_look_shows_the_newest_and_later_ones_what_came_since() -> None:
    look = window(set(range(1, 101)))
    assert since(look, None) == (look.items, True)
    items, more = since(look, item(95).id)
    # One a second: the minute before is told again, for a message may come to light late; that is all of the window.
    assert (items, more) == (look.items, True)
    sparse = Look(3, (item(500), item(300), item(100)))
    assert since(sparse, item(300).id) == (sparse.items[:2], False)
    assert since(sparse, item(900).id) == ((), False)


def test_a_text_is_told_without_its_link() -> None:
    url = f"{HOUSE}/sessions/1"
    assert told(item(1, body=f"{url}\n", url=url)) == ""
    assert told(item(1, body=f"At 10:00 (UTC+01:00). Join: {url}", url=url)) == "At 10:00 (UTC+01:00)."
    assert told(item(1, body=f"At 14:00.\n{url}\nSee you", url=url)) == "At 14:00. See you"


def test_a_link_of_ours_is_a_path_and_nothing_else_becomes_one() -> None:
    assert path_of(f"{HOUSE}/sessions/1", HOUSE) == "/sessions/1"
    assert path_of("https://elsewhere.example/x", HOUSE) == "https://elsewhere.example/x"
    assert path_of(f"{HOUSE}//evil.example", HOUSE) == f"{HOUSE}//evil.example"
    assert path_of(None, HOUSE) is None
