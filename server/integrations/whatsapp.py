"""WhatsApp by Meta's Cloud API: template messages with quick replies, and what its webhook posts."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from server.integrations.channel import (
    Deferred,
    Dials,
    Event,
    Form,
    Message,
    NotSent,
    Rate,
    Refused,
    Traits,
    Unavailable,
)
from server.integrations.posting import Answer, post
from server.providers import WhatsApp
from server.settings import Settings

TRAITS: Final = Traits("WhatsApp", Form.SHORT, Dials.NUMBER, disturbs=True)
RATE: Final = Rate(per_second=50, burst=80)  # the Cloud API takes 80 a second for each number
MAX_TEXT: Final = 4096  # characters of a free text; of one with buttons MAX_BODY
MAX_BODY: Final = 1024
MAX_TITLE: Final = 20  # characters on a button
MAX_BUTTONS: Final = 3
MAX_PARAMETER: Final = 900  # characters; a body has room for 1,024 with all its parameters
CODE_KIND: Final = "verify_number"  # the kind whose subject holds a code
_CODE: Final = re.compile(r"\b[0-9]{6}\b")
# https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
OVER_LIMIT: Final = frozenset({4, 80007, 130429, 133016})  # the application, the account, the number
DOWN: Final = frozenset({1, 2, 131016, 133004, 190, 0, 3, 10})  # down, or our token is not good
LATER: Final = frozenset({131000, 131056, 131049, 131057})  # this message or this pair, for a while


class CloudApi:
    """Posts a template message: business-initiated messages must be templates that Meta has approved.

    Without buttons it is the one configured template with two parameters (subject, text); with buttons the template
    ``<template>_<kind>``, whose quick replies get our payloads in order. A code goes by ``<template>_code``: Meta wants
    it in a template of the category Authentication, which holds nothing but the code and a button that copies it. An
    answer to a person's message is free text, with buttons of its own, for 24 hours after that message.
    """

    def __init__(self, whatsapp: WhatsApp) -> None:
        self._it = whatsapp

    @property
    def rate(self) -> Rate:
        return RATE

    async def send(self, message: Message) -> str:
        """The ``wamid`` of the message, which receipts and replies name."""
        answer = await post(
            f"{self._it.api_url}/{self._it.phone_number_id}/messages",
            message.date,
            json_body=self._body(message),
            headers={"Authorization": f"Bearer {self._it.access_token}"},
        )
        if not answer.ok:
            raise _failure(answer)
        match answer.data:
            case {"messages": [{"id": str(wamid)}, *_]}:
                return wamid
        raise Deferred("an answer without a message id")

    def _body(self, message: Message) -> dict[str, Any]:
        head: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": message.to.removeprefix("+"),
            "biz_opaque_callback_data": str(message.id),
        }
        if message.answers is not None:
            return head | {"context": {"message_id": message.answers}} | _free(message)
        return head | {"type": "template", "template": self._template(message)}

    def _template(self, message: Message) -> dict[str, Any]:
        code = _CODE.search(message.subject) if message.kind == CODE_KIND else None
        texts = (message.subject, message.text)
        components: list[dict[str, Any]] = [
            {"type": "body", "parameters": [{"type": "text", "text": _parameter(text)} for text in texts]}
        ]
        components += [
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": str(index),
                "parameters": [{"type": "payload", "payload": button.payload}],
            }
            for index, button in enumerate(message.buttons)
        ]
        name = f"{self._it.template}_{message.kind}" if message.buttons else self._it.template
        if code is not None:
            name, given = f"{self._it.template}_code", [{"type": "text", "text": code.group()}]
            components = [
                {"type": "body", "parameters": given},
                {"type": "button", "sub_type": "url", "index": "0", "parameters": given},
            ]
        return {"name": name, "language": {"code": self._it.language}, "components": components}


def _free(message: Message) -> dict[str, Any]:
    """A text, or an interactive message with up to three buttons."""
    text = message.text.strip()
    if not message.buttons:
        return {"type": "text", "text": {"preview_url": False, "body": text[:MAX_TEXT] or "-"}}
    buttons = [
        {"type": "reply", "reply": {"id": button.payload, "title": button.title[:MAX_TITLE]}}
        for button in message.buttons[:MAX_BUTTONS]
    ]
    return {
        "type": "interactive",
        "interactive": {
            "type": "button",
            "body": {"text": text[:MAX_BODY] or "-"},
            "action": {"buttons": buttons},
        },
    }


def _parameter(text: str) -> str:
    """A parameter may hold neither line ends nor tabs nor four spaces in a row, and not be empty."""
    return " ".join(text.split())[:MAX_PARAMETER] or "-"


def _failure(answer: Answer) -> NotSent:
    error = answer.data.get("error")
    error = error if isinstance(error, dict) else {}
    code, text = (
        error.get("code"),
        f"{answer.status}, code {error.get('code')}: {error.get('message', '')}"[:500],
    )
    if code in OVER_LIMIT or code in DOWN:
        return Unavailable(text, answer.retry_after)
    if code in LATER:
        return Deferred(text, answer.retry_after)
    return Refused(text) if answer.status == 400 else answer.failure(text)


def signed(app_secret: str, body: bytes) -> str:
    """X-Hub-Signature-256: HMAC-SHA256 over the raw body."""
    return "sha256=" + hmac.digest(app_secret.encode(), body, hashlib.sha256).hex()


def read_webhook(body: bytes) -> list[Event]:
    """The events in a post; what we do not use is left out. Raises ``ValueError`` for what is no such document."""
    document = json.loads(body)
    match document:
        case {"object": "whatsapp_business_account", "entry": [*entries]}:
            values = [
                change["value"]
                for entry in entries
                for change in _dicts(_of(entry, "changes"))
                if isinstance(change.get("value"), dict)
            ]
            return [event for value in values for event in _events(value)]
    raise ValueError("not a WhatsApp webhook document")


def _events(value: Mapping[str, Any]) -> Iterator[Event]:
    for status in _dicts(value.get("statuses")):
        at = _instant(status.get("timestamp"))
        match status:
            case {"id": str(wamid), "status": "sent" | "delivered" as kind}:
                yield Event(kind, wamid, said_at=at)
            case {"id": str(wamid), "status": "read"}:
                yield Event("delivered", wamid, said_at=at)  # who has read it has got it
            case {"id": str(wamid), "status": "failed"}:
                errors = list(_dicts(status.get("errors")))
                codes = {error.get("code") for error in errors}
                text = "; ".join(f"{error.get('code')}: {error.get('title', '')}" for error in errors)
                permanent = not codes & (LATER | OVER_LIMIT | DOWN)
                yield Event("failed", wamid, body=text[:500], permanent=permanent, said_at=at)
    for message in _dicts(value.get("messages")):
        match message:
            case {"id": str(wamid), "from": str(sender)}:
                context = _of(message, "context")
                answered = context.get("id") if isinstance(context, dict) else None
                yield Event(
                    "reply",
                    wamid,
                    answered if isinstance(answered, str) else None,
                    f"+{sender}",
                    _said(message),
                    said_at=_instant(message.get("timestamp")),
                )


def _said(message: Mapping[str, Any]) -> str:
    """A pressed button's payload, or the text."""
    match message:
        case {"button": {"payload": str(said)}}:
            return said[:1000]
        case {"interactive": {"button_reply": {"id": str(said)}}}:
            return said[:1000]
        case {"text": {"body": str(said)}}:
            return said[:1000]
    return ""


def _instant(seconds: Any) -> datetime | None:
    """Unix seconds, as text."""
    if not isinstance(seconds, str) or not re.fullmatch("[0-9]{1,11}", seconds):
        return None
    return datetime.fromtimestamp(int(seconds), UTC)


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (it for it in value if isinstance(it, dict)) if isinstance(value, list) else ()


def channel(settings: Settings) -> CloudApi | None:
    """WhatsApp where the VISAVIS_WHATSAPP_* variables are set."""
    whatsapp = settings.providers.whatsapp
    return CloudApi(whatsapp) if whatsapp is not None else None
