"""Cursors: what goes in comes out, and nothing else is one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.errors import Invalid
from server.base.paging import Page, decode_cursor, decode_position, encode_cursor, page_of, page_size

INSTANTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100)


@given(INSTANTS, st.uuids(), TEXTS, st.integers(-(2**63) + 1, 2**63 - 1))
def test_keys_survive_the_trip(at: datetime, identity: UUID, text: str, number: int) -> None:
    cursor = encode_cursor(at, identity, text, number)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(cursor, datetime, UUID, str, int) == [at, identity, text, number]


@given(
    st.one_of(
        st.text(max_size=80), st.binary(max_size=80).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_nothing_else_gets_further_than_a_named_fault(text: str) -> None:
    try:
        assert decode_position(text) is not None
    except Invalid as refused:
        assert [(error.field, error.code) for error in refused.errors] == [("cursor", "bad_cursor")]


@pytest.mark.parametrize(
    "inside",
    ['["2026-01-01T00:00:00","x"]', "[[],[]]", '["a"]', "{}", "[1,2]", "[" * 700, '["\\ud800","x"]', "null"],
)
def test_well_encoded_nonsense_is_refused(inside: str) -> None:
    with pytest.raises(Invalid):
        decode_position(base64.urlsafe_b64encode(inside.encode()).decode())


def test_text_that_no_database_takes_is_refused() -> None:
    for text in ("a\x00b", "\ud800"):
        cursor = base64.urlsafe_b64encode(
            f'["{text!a}"]'.replace("'", "").replace("\\x", "\\u00").encode()
        ).decode()
        with pytest.raises(Invalid):
            decode_cursor(cursor, str)


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_pages_tell_whether_there_is_more(items: list[int], size: int) -> None:
    page = page_of(items[: size + 1], size, str)
    assert page.items == tuple(items[:size])
    assert (page.next_cursor is not None) == (len(items) > size)
    assert page_of([], size, str) == Page((), None)


def test_limits() -> None:
    assert (page_size(None), page_size(1), page_size(100)) == (20, 1, 100)
    for wrong in (0, -5, 101):
        with pytest.raises(Invalid):
            page_size(wrong)
