"""Web Push: what a browser is shown, what each answer of a service means, and where nothing is ever posted."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server.endpoints import Endpoints
from server.integrations.channel import Deferred, Message, NotSent, Refused, Unreachable
from server.integrations.push import Subscription, WebPush, private
from server.settings import SettingsError, load_settings
from server.vapid import Vapid, make_key, public_key_of
from tests.support.push import Browser, PushService, running_push, unb64

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PRIVATE = make_key()
VAPID = Vapid(PRIVATE, public_key_of(PRIVATE), None)
GOOD = Browser.new().keys


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with running_push() as running:
        running.key, running.now = VAPID.public_key, NOW
        yield running


def client() -> WebPush:
    return WebPush(VAPID, "mailto:ops@mentoring.example", local=True)


def message(to: str, n: int = 7, **changes: object) -> Message:
    url = "https://mentoring.example/sessions/1"
    plain = Message(UUID(int=n), to, "Ada waits for you", f"Your session runs.\n{url}\n", None, NOW, url=url)
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_browsers_half_is_that_of_the_rfc() -> None:
    """RFC 8291 appendix A."""
    number = int.from_bytes(unb64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big")
    browser = Browser(ec.derive_private_key(number, ec.SECP256R1()), unb64("BTBZMqHH6r4Tts7J_aSIgg"))
    body = (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3"
        "jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert browser.decrypt(unb64(body)) == b"When I grow up, I want to be a watermelon"


async def test_what_the_browser_is_shown(service: PushService) -> None:
    to, push = service.subscribe(), client()
    soon = NOW + timedelta(minutes=12)
    assert await push.send(message(to)) == str(UUID(int=7))
    await push.send(message(to, 8, expires_at=soon))
    await push.send(message(to, 9, text="\N{SNOWMAN}" * 9000, subject="long"))
    first, pressing, long = service.taken
    assert {name: first[name] for name in ("title", "body", "url", "tag")} == {
        "title": "Ada waits for you",
        "body": "Your session runs.",
        "url": "https://mentoring.example/sessions/1",
        "tag": str(UUID(int=7)),
    }
    assert (first["TTL"], first["Urgency"]) == ("86400", "normal")
    assert (pressing["TTL"], pressing["Urgency"]) == ("720", "high")
    # A repetition of a message replaces itself, another one does not.
    assert first["Topic"] != pressing["Topic"] and len(first["Topic"]) <= 32
    assert set(long["body"]) == {"\N{SNOWMAN}"} and len(long["body"]) > 100 and long["size"] <= 4096


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (404, Unreachable),
        (410, Unreachable),
        (413, Refused),
        (400, Refused),
        (401, Deferred),
        (403, Deferred),
        (429, Deferred),
        (500, Deferred),
        (503, Deferred),
        (307, Deferred),
    ],
)
async def test_what_an_answer_means(service: PushService, status: int, raised: type[NotSent]) -> None:
    service.say = status, {"Retry-After": "37", "Location": "https://elsewhere.example/"}
    with pytest.raises(NotSent) as error:
        await client().send(message(service.subscribe()))
    assert type(error.value) is raised
    if raised is Deferred:
        assert error.value.retry_after == timedelta(seconds=37)


async def test_a_service_that_has_enough_is_left_alone_and_the_others_are_not(service: PushService) -> None:
    async with running_push() as other:
        push, here, there = client(), service.subscribe(), other.subscribe()
        service.say = 429, {"Retry-After": "60"}
        with pytest.raises(Deferred):
            await push.send(message(here))
        service.say = None
        with pytest.raises(Deferred) as resting:
            await push.send(message(here, date=NOW + timedelta(seconds=20)))
        assert (service.asked, resting.value.retry_after) == (1, timedelta(seconds=40))
        await push.send(message(there, date=NOW + timedelta(seconds=20)))
        await push.send(message(here, date=NOW + timedelta(seconds=60)))
        assert (service.asked, len(service.taken), len(other.taken)) == (2, 1, 1)


async def test_a_key_that_the_browser_does_not_know_is_told(service: PushService) -> None:
    service.key = public_key_of(make_key())
    with pytest.raises(Deferred, match="403"):
        await client().send(message(service.subscribe()))
    assert service.taken == []


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://push.example/1", "bad_url"),
        ("https://user:secret@push.example/1", "bad_url"),
        ("ftp://push.example/1", "bad_url"),
        ("https://", "bad_url"),
        ("https://[::1", "bad_url"),
        ("https://push.example/" + "x" * 2000, "bad_url"),
        ("https://127.0.0.1/1", "address_refused"),
        ("https://10.0.0.7/1", "address_refused"),
        ("https://192.168.1.1/1", "address_refused"),
        ("https://169.254.169.254/latest", "address_refused"),
        ("https://[fd00::1]/1", "address_refused"),
        ("https://[::ffff:10.0.0.7]/1", "address_refused"),
    ],
)
def test_where_nothing_is_posted(endpoint: str, code: str) -> None:
    [fault] = Subscription(endpoint, **GOOD).faults(local=False)
    assert (fault.field, fault.code) == ("endpoint", code)


def test_all_that_is_wrong_with_a_subscription_is_said_at_once() -> None:
    off_curve = Subscription("http://push.example", "BA" + "A" * 85, "short")
    assert [fault.field for fault in off_curve.faults(local=False)] == [
        "endpoint",
        "keys.p256dh",
        "keys.auth",
    ]
    assert Subscription("https://push.example/1", **GOOD).faults(local=False) == []
    assert Subscription("http://127.0.0.1:9/1", **GOOD).faults(local=True) == []


def test_what_a_name_leads_to_is_looked_at_as_well() -> None:
    assert private("10.1.2.3", local=True) and private("127.0.0.1", local=False)
    assert not private("127.0.0.1", local=True) and not private("142.250.74.1", local=False)


@pytest.mark.parametrize(
    "to", ["", "{", "[]", '{"endpoint": 1}', json.dumps({"endpoint": "https://x", "keys": {}})]
)
async def test_what_is_no_subscription_is_forgotten(to: str) -> None:
    with pytest.raises(Unreachable):
        await client().send(message(to))


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    Endpoints(os.getpid(), "postgresql://localhost/x", "redis://localhost").write(tmp_path)
    environ = {"VISAVIS_DATA_DIR": str(tmp_path)}
    first, second = load_settings(environ).vapid, load_settings(environ).vapid
    assert first is not None and first == second
    assert (tmp_path / "vapid.key").stat().st_mode & 0o777 == 0o600
    assert first.private_key not in repr(first)
    outside = {
        "VISAVIS_DATABASE_URL": "postgresql://localhost/x",
        "VISAVIS_REDIS_URL": "redis://localhost",
        "VISAVIS_SECRET_KEY": "x" * 32,
    }
    assert load_settings(outside).vapid is None
    with pytest.raises(SettingsError) as error:
        load_settings(outside | {"VISAVIS_VAPID_PRIVATE_KEY": "secret", "VISAVIS_VAPID_SUBJECT": "me"})
    assert {fault.name for fault in error.value.faults} == {
        "VISAVIS_VAPID_PRIVATE_KEY",
        "VISAVIS_VAPID_SUBJECT",
    }
    assert "secret" not in str(error.value)
