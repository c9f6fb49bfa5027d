"""Whom a limit by address counts when there are proxies in between, and when somebody only pretends so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.proxies import caller, networks
from server.settings import Settings
from tests.web.conftest import World

OURS = networks("10.0.0.0/8, 127.0.0.1, 2001:db8::/32")


@pytest.mark.parametrize(
    ("socket", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a stranger is believed nothing
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # what he sent himself stands on the left
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1", "10.1.2.3"], "198.51.100.1"),  # one header each
        ("127.0.0.1", ["2001:db8::5, 10.1.2.3"], "2001:db8::5"),  # all ours: the furthest one
        ("127.0.0.1", ["198.51.100.1, nonsense, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (None, ["198.51.100.1"], "unknown"),
    ],
)
def test_the_first_stranger_from_the_right(socket: str | None, forwarded: list[str], expected: str) -> None:
    assert caller(socket, forwarded, OURS) == expected


@given(st.lists(st.text(max_size=40), max_size=5))
def test_whatever_stands_left_of_him_changes_nothing(invented: list[str]) -> None:
    assert caller("127.0.0.1", [*invented, "198.51.100.1"], OURS) == "198.51.100.1"


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    return replace(settings, demo=True, port=0, media_port=0, trusted_proxies=networks("127.0.0.1"))


async def test_a_limit_counts_whom_the_proxy_names(world: World) -> None:
    wrong = {"email": "nobody@example.org", "password": "not the password"}

    async def tries(forwarded: str, number: int) -> list[int]:
        replies = [
            await world.nobody.post("/auth/login", wrong, X_Forwarded_For=forwarded) for _ in range(number)
        ]
        return [reply.status for reply in replies]

    assert (await tries("198.51.100.1", 11))[-1] == 429
    assert await tries("6.6.6.6, 198.51.100.1", 1) == [429]
    assert await tries("198.51.100.2", 1) == [401]
