"""What is not an access token, however much it looks like one."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from server.base.errors import Unauthenticated
from server.base.ids import new_id
from server.people import tokens
from server.people.model import Role, User
from server.settings import Settings

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
USER = User(new_id(), "bo@example.com", "Bo", Role.MENTEE, "UTC", NOW)


def refused(settings: Settings, token: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        tokens.read_access_token(settings, token, NOW)
    return refusal.value.code


def signed(settings: Settings, **claims: Any) -> str:
    base = {"sub": str(USER.id), "role": "mentee"}
    return tokens.sign(settings, "visavis:api", {**base, **claims}, NOW, NOW + timedelta(hours=1))


def test_forged_tokens_are_refused(settings: Settings) -> None:
    good = tokens.access_token(settings, USER, NOW)
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    admin = base64.urlsafe_b64encode(json.dumps({**claims, "role": "admin"}).encode()).rstrip(b"=").decode()
    none = jwt.encode({**claims, "role": "admin"}, key="", algorithm="none")
    forgeries = [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        f"{head}.{admin}.{signature}",
        f"{head}.{body}.",
        none,
        good + "x" * 5000,
        jwt.encode(
            claims, "test-secret-key-test-secret-key-test", algorithm="HS256"
        ),  # the key itself signs nothing
    ]
    assert {refused(settings, token) for token in forgeries} == {"token_invalid"}


def test_tokens_of_another_place_are_refused(settings: Settings) -> None:
    elsewhere = replace(settings, public_url="https://elsewhere.example")
    assert refused(settings, tokens.access_token(elsewhere, USER, NOW)) == "token_invalid"
    another_key = replace(settings, secret_key="another-secret-key-of-sufficient-length")
    assert refused(settings, tokens.access_token(another_key, USER, NOW)) == "token_invalid"
    room = tokens.sign(
        settings, "visavis:room", {"sub": str(USER.id), "role": "mentee"}, NOW, NOW + timedelta(hours=1)
    )
    assert refused(settings, room) == "token_invalid"


@pytest.mark.parametrize("claims", [{"sub": "me"}, {"role": "root"}, {"role": None}, {"role": ["admin"]}])
def test_well_signed_nonsense_is_refused(settings: Settings, claims: dict[str, Any]) -> None:
    assert refused(settings, signed(settings, **claims)) == "token_invalid"


def test_only_the_given_time_counts(settings: Settings) -> None:
    """The tests' clock stands in the past of the machine's: a token of then is good then."""
    token = tokens.access_token(settings, USER, NOW)
    assert tokens.read_access_token(settings, token, NOW).user_id == USER.id
    assert (
        refused(settings, tokens.access_token(settings, USER, NOW - timedelta(minutes=15))) == "token_expired"
    )
