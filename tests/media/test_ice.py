"""Connectivity checks as the lite agent reads them."""

from __future__ import annotations

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from media import ice
from media.rtp import ParseError

REASONS = {"stun_malformed", "stun_not_a_check", "stun_no_username", "stun_integrity"}


def request(password: str = "secret" * 4, **attributes: object) -> bytes:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["USERNAME"] = "ours:theirs"
    message.attributes |= {name.replace("_", "-"): value for name, value in attributes.items()}
    message.add_message_integrity(password.encode())
    return bytes(message)


def test_a_check_is_verified_and_answered() -> None:
    data = request(PRIORITY=1, ICE_CONTROLLED=5, USE_CANDIDATE=None)  # whatever role the client claims
    assert ice.local_ufrag(data) == "ours"
    check = ice.verify(data, "secret" * 4)
    assert check.nominated
    answer = stun.parse_message(ice.respond(check, ("192.0.2.1", 4000), "secret" * 4))
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.transaction_id == check.transaction_id
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == ("192.0.2.1", 4000)
    assert answer.check_message_integrity(b"secret" * 4)
    assert not ice.verify(request(), "secret" * 4).nominated


def test_refusals() -> None:
    with pytest.raises(ParseError, match="stun_integrity"):
        ice.verify(request("wrong" * 5), "secret" * 4)
    response = bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE))
    with pytest.raises(ParseError, match="stun_not_a_check"):
        ice.local_ufrag(response)
    with pytest.raises(ParseError, match="stun_no_username"):
        ice.local_ufrag(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST)))
    unsigned = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes={"USERNAME": "ours:theirs"})
    with pytest.raises(ParseError, match="stun_integrity"):
        ice.verify(bytes(unsigned), "secret" * 4)


@given(st.data())
def test_a_damaged_check_is_never_accepted(data: st.DataObject) -> None:
    original = request(PRIORITY=1, USE_CANDIDATE=None)
    damaged = bytearray(original)
    for at in data.draw(st.lists(st.integers(0, len(original) - 1), min_size=1, max_size=8, unique=True)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(original)))
    for candidate in (bytes(damaged), bytes(damaged[:cut])):
        try:
            ice.local_ufrag(candidate)
            accepted = ice.verify(candidate, "secret" * 4)
        except ParseError as error:
            assert error.reason in REASONS
        else:
            # Only FINGERPRINT and what follows the signature may differ without anybody noticing.
            assert candidate[20:-32] == original[20:-32] and accepted.nominated


@given(st.binary(max_size=600), st.sampled_from([b"", b"\x00\x01"]), st.booleans())
def test_any_bytes_are_refused_by_name(data: bytes, head: bytes, framed: bool) -> None:
    if framed:  # a right header, so that the attribute loop is reached
        data = data[: len(data) // 4 * 4]
        data = b"\x00\x01" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + bytes(12) + data
    for function in (ice.local_ufrag, lambda d: ice.verify(d, "secret" * 4)):
        try:
            function(head + data)
        except ParseError as error:
            assert error.reason in REASONS
        else:
            assert function is ice.local_ufrag


def test_credentials_are_fresh_and_long() -> None:
    made = {ice.make_credentials() for _ in range(50)}
    assert len(made) == 50
    assert all(len(u) == 8 and len(p) == 24 and (u + p).isalnum() for u, p in made)
