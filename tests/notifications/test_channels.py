"""The contract of a channel, held by every real client over real HTTP, and what each provider sees."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.embedded.postgres import free_port
from server.integrations.channel import (
    Button,
    Deferred,
    Form,
    Message,
    NotificationChannel,
    NotSent,
    Refused,
    Unavailable,
)
from server.integrations.channels import REGISTRY
from server.integrations.posting import retry_after
from server.integrations.sms import signature_of
from server.notifications.model import Kind
from server.notifications.texts import render
from server.notifications.tongues import TONGUES
from server.settings import SettingsError, load_settings
from tests.support.providers import SID, TOKEN, FakeProviders, Say, running_providers

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MESSAGE = Message(
    UUID(int=7), "+919876543210", "A <b> & c", "Hello\n\n  there\n", None, NOW, kind="reminder",
    buttons=(Button("Yes", "yes:1"), Button("No", "no:1")),
)  # fmt: skip
HTTP_CHANNELS = ("push", "slack", "sms", "whatsapp")


@pytest.fixture
async def fakes() -> AsyncIterator[FakeProviders]:
    async with running_providers() as running:
        yield running


def make(name: str, environ: dict[str, str]) -> NotificationChannel:
    base = {
        "VISAVIS_DATABASE_URL": "postgresql://localhost/x",
        "VISAVIS_REDIS_URL": "redis://localhost",
        "VISAVIS_SECRET_KEY": "x" * 32,
        "VISAVIS_PUBLIC_URL": "https://mentoring.example",
    }
    channel = REGISTRY[name].channel(load_settings(base | environ))
    assert channel is not None
    return channel


def written(name: str, fakes: FakeProviders) -> Message:
    """MESSAGE to an address of the channel."""
    return replace(MESSAGE, to=fakes.pushed.subscribe()) if name == "push" else MESSAGE


def meant(name: str, raised: type[NotSent]) -> type[NotSent]:
    """Behind push there are many providers, one for each vendor: when one is down, only its own messages wait."""
    return Deferred if name == "push" and raised is Unavailable else raised


@pytest.mark.parametrize("name", HTTP_CHANNELS)
async def test_a_message_is_taken_and_named(name: str, fakes: FakeProviders) -> None:
    channel = make(name, fakes.environ)
    assert channel.rate.per_second > 0 and channel.rate.burst >= 1
    message = written(name, fakes)
    assert len({await channel.send(message), await channel.send(replace(message, id=UUID(int=8)))}) == 2
    assert len(fakes.taken) + len(fakes.pushed.taken) == 2


@pytest.mark.parametrize("name", HTTP_CHANNELS)
@pytest.mark.parametrize(
    ("say", "raised"),
    [
        (Say(429, "", {"Retry-After": "37"}), Unavailable),
        (Say(503, "<html>", {"Retry-After": "37"}), Unavailable),
        (Say(500, ""), Unavailable),
        (Say(302, "", {"Location": "https://elsewhere.example/"}), Unavailable),
        (Say(400, "invalid_payload"), Refused),
    ],
)
async def test_a_no_has_one_of_three_meanings(
    name: str, say: Say, raised: type[NotSent], fakes: FakeProviders
) -> None:
    fakes.say = say
    fakes.pushed.say = say.status, say.headers
    with pytest.raises(NotSent) as error:
        await make(name, fakes.environ).send(written(name, fakes))
    assert type(error.value) is meant(name, raised)
    assert error.value.retry_after == (timedelta(seconds=37) if "Retry-After" in say.headers else None)


@pytest.mark.parametrize("name", HTTP_CHANNELS)
async def test_nobody_there_means_unavailable_and_tells_no_secret(name: str) -> None:
    nobody = FakeProviders(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(NotSent) as error:
        await make(name, nobody.environ).send(written(name, nobody))
    assert type(error.value) is meant(name, Unavailable)
    assert "secret" not in str(error.value) and "token" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "say", "raised"),
    [
        ("sms", Say(429, {"code": 20429, "message": "Too Many Requests"}), Unavailable),
        ("sms", Say(400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient"}), Refused),
        ("sms", Say(400, {"code": 30001, "message": "Queue overflow"}), Deferred),
        ("sms", Say(201, {"status": "queued"}), Deferred),
        ("whatsapp", Say(400, {"error": {"code": 130429, "message": "Rate limit hit"}}), Unavailable),
        ("whatsapp", Say(400, {"error": {"code": 131056, "message": "Pair rate limit hit"}}), Deferred),
        ("whatsapp", Say(400, {"error": {"code": 131026, "message": "Undeliverable"}}), Refused),
        ("whatsapp", Say(200, {"messages": []}), Deferred),
        ("slack", Say(410, "channel_is_archived"), Unavailable),
    ],
)
async def test_the_providers_own_codes_are_understood(
    name: str, say: Say, raised: type[NotSent], fakes: FakeProviders
) -> None:
    fakes.say = say
    with pytest.raises(NotSent) as error:
        await make(name, fakes.environ).send(MESSAGE)
    assert type(error.value) is raised


@pytest.mark.parametrize(
    ("name", "variable"),
    [("sms", "VISAVIS_TWILIO_AUTH_TOKEN"), ("whatsapp", "VISAVIS_WHATSAPP_ACCESS_TOKEN")],
)
async def test_a_provider_that_does_not_know_us_takes_nothing(
    name: str, variable: str, fakes: FakeProviders
) -> None:
    with pytest.raises(Unavailable):
        await make(name, fakes.environ | {variable: "another"}).send(MESSAGE)
    assert fakes.taken == []


async def test_what_slack_gets_is_escaped(fakes: FakeProviders) -> None:
    await make("slack", fakes.environ).send(MESSAGE)
    assert fakes.taken == [{"text": "*A &lt;b&gt; &amp; c*\nHello\n\n  there"}]


async def test_what_twilio_gets(fakes: FakeProviders) -> None:
    await make("sms", fakes.environ).send(MESSAGE)
    assert fakes.taken == [
        {
            "To": "+919876543210",
            "From": "+15550100",
            "Body": "A <b> & c\nHello\n\n  there",
            "StatusCallback": f"https://mentoring.example/webhooks/twilio?at={int(MESSAGE.date.timestamp())}",
        }
    ]
    with pytest.raises(Refused):
        await make("sms", fakes.environ).send(replace(MESSAGE, to="12"))


async def test_a_code_goes_to_whatsapp_by_a_template_of_its_own(fakes: FakeProviders) -> None:
    """The subject is what our own text makes of it: both languages' codes are found."""
    channel = make("whatsapp", fakes.environ)
    for language in TONGUES:
        text = render(
            "verify_number", "person", ZoneInfo("UTC"), {"name": "A", "code": "042195", "minutes": 10},
            channel="whatsapp", form=Form.SHORT, language=language, link="https://v/x",
        )  # fmt: skip
        await channel.send(
            replace(MESSAGE, kind=Kind.VERIFY_NUMBER, subject=text.subject, text=text.body, buttons=())
        )
    given = [{"type": "text", "text": "042195"}]
    for body in fakes.taken:
        assert body["template"]["name"] == "visavis_notice_code"
        assert body["template"]["components"] == [
            {"type": "body", "parameters": given},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": given},
        ]
    assert len(fakes.taken) == 2


async def test_what_whatsapp_gets(fakes: FakeProviders) -> None:
    """Buttons make it the kind's own template; a text is one line."""
    channel = make("whatsapp", fakes.environ)
    await channel.send(MESSAGE)
    await channel.send(replace(MESSAGE, buttons=(), text=""))
    asked, plain = (body["template"] for body in fakes.taken)
    assert (asked["name"], plain["name"]) == ("visavis_notice_reminder", "visavis_notice")
    assert fakes.taken[0]["to"] == "919876543210"
    texts = [p["text"] for p in asked["components"][0]["parameters"]]
    assert texts == ["A <b> & c", "Hello there"]
    assert [(c["index"], c["parameters"][0]["payload"]) for c in asked["components"][1:]] == [
        ("0", "yes:1"),
        ("1", "no:1"),
    ]


def test_the_signature_is_twilios_own() -> None:
    """Twilio's rule: the URL, then each parameter's name and value in the order of the names."""
    form = {"To": "+18005551212", "From": "+14158675310", "Body": ""}
    made = signature_of(TOKEN, "https://example.com/x", form)
    assert len(base64.b64decode(made)) == 20
    assert made == signature_of(TOKEN, "https://example.com/x", dict(reversed(form.items())))
    assert made != signature_of(TOKEN, "https://example.com/y", form)
    assert made != signature_of(TOKEN, "https://example.com/x", form | {"Body": "1"})


def test_a_wish_is_seconds_or_a_date() -> None:
    assert retry_after("120", NOW) == timedelta(minutes=2)
    assert retry_after("Mon, 02 Mar 2026 09:01:00 GMT", NOW) == timedelta(minutes=1)
    assert retry_after("Mon, 02 Mar 2026 08:00:00 GMT", NOW) == timedelta(0)
    assert retry_after("soon", NOW) is None


def test_half_a_provider_is_a_fault_for_each_missing_variable() -> None:
    with pytest.raises(SettingsError) as error:
        make(
            "sms",
            {"VISAVIS_TWILIO_ACCOUNT_SID": SID, "VISAVIS_SLACK_WEBHOOK_URL": "http://hooks.example/secret"},
        )
    named = {fault.name for fault in error.value.faults}
    assert named == {"VISAVIS_TWILIO_AUTH_TOKEN", "VISAVIS_TWILIO_FROM", "VISAVIS_SLACK_WEBHOOK_URL"}
    assert "secret" not in str(error.value)
