"""What is sealed opens only with the same key, for the same purpose and subject, and unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.sealing import SealBroken, seal, unseal

KEY = "a key of some length"


@given(st.text(), st.binary(max_size=40))
def test_it_opens_for_its_purpose_and_subject_only(text: str, subject: bytes) -> None:
    sealed = seal(KEY, "tokens", subject, text)
    assert unseal(KEY, "tokens", subject, sealed) == text
    assert seal(KEY, "tokens", subject, text) != sealed
    for key, purpose, other in (
        (KEY + "x", "tokens", subject),
        (KEY, "x", subject),
        (KEY, "tokens", subject + b"x"),
    ):
        with pytest.raises(SealBroken):
            unseal(key, purpose, other, sealed)


@given(st.text(), st.integers(min_value=0), st.integers(1, 255))
def test_a_changed_byte_is_noticed(text: str, place: int, change: int) -> None:
    sealed = bytearray(seal(KEY, "tokens", b"", text))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(SealBroken):
        unseal(KEY, "tokens", b"", bytes(sealed))


@given(st.binary(max_size=60))
def test_anything_else_is_no_seal(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        unseal(KEY, "tokens", b"", junk)
