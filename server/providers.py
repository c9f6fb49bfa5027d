"""What the settings say about the providers of messages: Slack, Twilio's SMS, and WhatsApp's Cloud API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)  # E.164
_NAME: Final = re.compile(r"[A-Za-z0-9_]{1,512}", re.ASCII)
TWILIO_API: Final = "https://api.twilio.com"
WHATSAPP_API: Final = "https://graph.facebook.com/v23.0"
WHATSAPP_TEMPLATE: Final = "visavis_notice"


@dataclass(frozen=True, slots=True)
class Twilio:
    """An account of Twilio's, or of whoever speaks its form."""

    api_url: str
    account_sid: str
    auth_token: str = field(repr=False)  # also signs the status callbacks
    sender: str  # E.164


@dataclass(frozen=True, slots=True)
class WhatsApp:
    """A number of the WhatsApp Business platform (Cloud API)."""

    api_url: str
    phone_number_id: str
    access_token: str = field(repr=False)
    app_secret: str = field(repr=False)  # signs the webhook's posts
    verify_token: str = field(repr=False)  # what Meta repeats when the webhook is registered
    template: str  # with two body parameters: subject and text
    language: str  # of the template


@dataclass(frozen=True, slots=True)
class Providers:
    """What is configured; None is not."""

    slack_webhook_url: str | None = field(default=None, repr=False)  # the URL is the secret
    twilio: Twilio | None = None
    whatsapp: WhatsApp | None = None


class Reader(Protocol):
    """The settings' reader: texts in, faults out."""

    def text(self, name: str) -> str | None: ...

    def fault(self, name: str, message: str) -> None: ...


def read_providers(reader: Reader) -> Providers:
    """All providers that are given, with a fault for everything missing or malformed."""
    return Providers(url(reader, "VISAVIS_SLACK_WEBHOOK_URL"), _twilio(reader), _whatsapp(reader))


def _twilio(reader: Reader) -> Twilio | None:
    given = together(reader, "VISAVIS_TWILIO_ACCOUNT_SID", "VISAVIS_TWILIO_AUTH_TOKEN", "VISAVIS_TWILIO_FROM")
    if given is None:
        return None
    sender = given["VISAVIS_TWILIO_FROM"]
    if not _NUMBER.fullmatch(sender):
        reader.fault("VISAVIS_TWILIO_FROM", f"{sender!r} is not a number such as +15550100123")
    if not _NAME.fullmatch(sid := given["VISAVIS_TWILIO_ACCOUNT_SID"]):
        reader.fault("VISAVIS_TWILIO_ACCOUNT_SID", "does not look like an account SID (AC...)")
    api = url(reader, "VISAVIS_TWILIO_API_URL") or TWILIO_API
    return Twilio(api, sid, given["VISAVIS_TWILIO_AUTH_TOKEN"], sender)


def _whatsapp(reader: Reader) -> WhatsApp | None:
    given = together(
        reader,
        "VISAVIS_WHATSAPP_PHONE_NUMBER_ID",
        "VISAVIS_WHATSAPP_ACCESS_TOKEN",
        "VISAVIS_WHATSAPP_APP_SECRET",
        "VISAVIS_WHATSAPP_VERIFY_TOKEN",
    )
    if given is None:
        return None
    phone_id = given["VISAVIS_WHATSAPP_PHONE_NUMBER_ID"]
    template = reader.text("VISAVIS_WHATSAPP_TEMPLATE") or WHATSAPP_TEMPLATE
    language = reader.text("VISAVIS_WHATSAPP_LANGUAGE") or "en"
    for name, value in (
        ("VISAVIS_WHATSAPP_PHONE_NUMBER_ID", phone_id),
        ("VISAVIS_WHATSAPP_TEMPLATE", template),
        ("VISAVIS_WHATSAPP_LANGUAGE", language),
    ):
        if not _NAME.fullmatch(value):
            reader.fault(name, f"{value!r} has other characters than letters, digits and underscores")
    return WhatsApp(
        api_url=url(reader, "VISAVIS_WHATSAPP_API_URL") or WHATSAPP_API,
        phone_number_id=phone_id,
        access_token=given["VISAVIS_WHATSAPP_ACCESS_TOKEN"],
        app_secret=given["VISAVIS_WHATSAPP_APP_SECRET"],
        verify_token=given["VISAVIS_WHATSAPP_VERIFY_TOKEN"],
        template=template,
        language=language,
    )


def together(reader: Reader, *names: str) -> Mapping[str, str] | None:
    """All or none: a fault for each that is missing while another is there."""
    given = {name: text for name in names if (text := reader.text(name)) is not None}
    missing = [name for name in names if name not in given]
    if given:
        for name in missing:
            reader.fault(name, f"is missing: {', '.join(names)} go together")
    return None if missing else given


def url(reader: Reader, name: str) -> str | None:
    """Without a slash at the end. Unencrypted only on this machine: a secret goes with every request."""
    text = reader.text(name)
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or (parts.scheme != "https" and not (local and parts.scheme == "http")):
        reader.fault(name, "does not look like https://host/path")  # never quoted: it may be the secret
    return text.rstrip("/")
