"""What clients are told of TURN: names that expire, passwords that only the shared secret can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.people.model import Role
from server.settings import Settings, Turn
from server.turn import IceServer, ice_servers
from server.turn.probe import Target
from tests.web.conftest import NOW, World, hour, open_hours, world

__all__ = ["world"]

TURN = Turn(
    (
        "stun:stun.example.org",
        "turn:turn.example.org?transport=udp",
        "turns:turn.example.org:443?transport=tcp",
    ),
    "secret-of-the-relay",
    3600,
)


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    return replace(settings, demo=True, port=0, media_port=0, turn=TURN)


def test_a_known_answer() -> None:
    """The form coturn documents: base64(HMAC-SHA1(secret, "expiry:name")), computed here by hand."""
    now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    stun, relay = ice_servers(TURN, "7", now)
    name = f"{int(now.timestamp()) + 3600}:7"
    assert stun == IceServer(("stun:stun.example.org",))
    assert stun.as_json() == {"urls": ["stun:stun.example.org"]}
    password = base64.b64encode(hmac.new(b"secret-of-the-relay", name.encode(), hashlib.sha1).digest())
    assert relay.as_json() == {"urls": list(TURN.urls[1:]), "username": name, "credential": password.decode()}
    assert relay.as_links()[0] == (
        f'<turn:turn.example.org?transport=udp>; rel="ice-server"; username="{name}";'
        f' credential="{password.decode()}"; credential-type="password"'
    )
    assert stun.as_links() == ('<stun:stun.example.org>; rel="ice-server"',)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
    st.integers(60, 604800),
)
def test_the_expiry_can_be_read_off_the_name(now: datetime, ttl: int) -> None:
    user = str(uuid4())
    (relay,) = ice_servers(Turn(TURN.urls[1:], "s" * 16, ttl), user, now)
    expiry, _, who = relay.username.partition(":")
    assert who == user
    assert 0 <= now.timestamp() + ttl - int(expiry) < 1


def test_without_a_server_nothing_is_said() -> None:
    assert ice_servers(None, "7", NOW) == ()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("stun:a.example", Target(False, False, "a.example", 3478, "udp")),
        ("turn:a.example:99", Target(True, False, "a.example", 99, "udp")),
        ("turn:[2001:db8::1]:99?transport=tcp", Target(True, False, "2001:db8::1", 99, "tcp")),
        ("turns:a.example", Target(True, True, "a.example", 5349, "tcp")),
    ],
)
def test_where_a_url_leads(url: str, target: Target) -> None:
    assert Target.of(url) == target


async def test_joining_hands_them_out_and_asking_again_renews_them(world: World) -> None:
    mentor, mentee = await world.person(Role.MENTOR), await world.person(Role.MENTEE, tokens=100)
    await open_hours(mentor)
    booked = await mentee.post("/bookings", {"mentor_id": str(mentor.id), **hour(1, 10)})
    await mentor.post(f"/bookings/{booked.json['id']}/approve")
    world.clock.jump_to(NOW + timedelta(days=1, hours=1) - timedelta(minutes=10))
    seen = []
    for _ in range(2):
        caller = await world.fresh(mentee)
        joined = await caller.post(f"/sessions/{booked.json['session_id']}/join")
        stun, relay = joined.json["ice_servers"]
        assert stun == {"urls": ["stun:stun.example.org"]}
        expiry, _, who = relay["username"].partition(":")
        assert who == str(mentee.id)
        left = int(expiry) - world.clock.now().timestamp()
        assert 3590 < left <= 3600
        seen.append(relay)
        world.clock.jump_to(world.clock.now() + timedelta(minutes=5))
    assert seen[0]["username"] != seen[1]["username"]
    assert seen[0]["credential"] != seen[1]["credential"]
