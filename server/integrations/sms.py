"""SMS in the form of Twilio's HTTP API: sending, and the signature of its status callbacks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from aiohttp import encode_basic_auth

from server.integrations.channel import (
    Deferred,
    Dials,
    Event,
    Form,
    Message,
    Rate,
    Refused,
    Traits,
    Unavailable,
)
from server.integrations.posting import post
from server.providers import Twilio
from server.settings import Settings

TRAITS: Final = Traits("SMS", Form.SHORT, Dials.NUMBER, disturbs=True)
RATE: Final = Rate(per_second=1, burst=10)  # a long code sends one segment a second; Twilio queues the burst
MAX_TEXT: Final = 1600  # characters, Twilio's limit for a message of several segments
CALLBACK: Final = "/webhooks/twilio"
AT: Final = "at"  # in the callback's query: when the message was handed over, in Unix seconds
TOO_MANY: Final = 20429
# https://www.twilio.com/docs/api/errors: for these the number will not become another one by waiting.
QUEUE_FULL: Final = 30001
TRANSIENT_RECEIPTS: Final = frozenset({"30001", "30002", "30003", "30008", "30017", "30022"})


class TwilioSms:
    """Posts a form with Basic auth; 201 with a ``sid`` means that Twilio has queued it."""

    def __init__(self, twilio: Twilio, callback_url: str) -> None:
        self._twilio = twilio
        self._callback_url = callback_url

    @property
    def rate(self) -> Rate:
        return RATE

    async def send(self, message: Message) -> str:
        """The MessageSid, which status callbacks name."""
        it = self._twilio
        answer = await post(
            f"{it.api_url}/2010-04-01/Accounts/{quote(it.account_sid)}/Messages.json",
            message.date,
            form={
                "To": message.to,
                "From": it.sender,
                "Body": f"{message.subject}\n{message.text}".strip()[:MAX_TEXT],
                # Twilio signs no time, but the address with all that is in it.
                "StatusCallback": f"{self._callback_url}?{AT}={int(message.date.timestamp())}",
            },
            headers={"Authorization": encode_basic_auth(it.account_sid, it.auth_token)},
        )
        sid = answer.data.get("sid")
        if answer.ok and isinstance(sid, str):
            return sid
        if answer.ok:
            raise Deferred("an answer without a sid")
        code = answer.data.get("code")
        text = f"{answer.status}, code {code}: {answer.data.get('message', '')}"[:500]
        if code == TOO_MANY:
            raise Unavailable(text, answer.retry_after)
        if code == QUEUE_FULL:
            raise Deferred(text, answer.retry_after)
        if answer.status == 400:
            raise Refused(text)
        raise answer.failure(text)


def signature_of(auth_token: str, url: str, form: Mapping[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL and the parameters, sorted, names and values without separators."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), hashlib.sha1)).decode()


def handed_over_at(query: str) -> datetime | None:
    """What a callback's query says of when we handed the message over; None when it says nothing."""
    found = re.fullmatch(rf"{AT}=(\d{{1,11}})", query, re.ASCII)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def read_callback(form: Mapping[str, str]) -> list[Event]:
    """The event of a status callback; none for what is on its way."""
    sid, status, code = form.get("MessageSid", ""), form.get("MessageStatus", ""), form.get("ErrorCode", "")
    match status:
        case "sent" | "delivered" if sid:
            return [Event(status, sid)]
        case "failed" | "undelivered" if sid:
            return [Event("failed", sid, body=f"{status}: {code}", permanent=code not in TRANSIENT_RECEIPTS)]
    return []


def channel(settings: Settings) -> TwilioSms | None:
    """SMS where the VISAVIS_TWILIO_* variables are set."""
    twilio = settings.providers.twilio
    return TwilioSms(twilio, settings.public_url + CALLBACK) if twilio is not None else None
