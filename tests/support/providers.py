"""Slack, Twilio, Meta's Cloud API and a push service on loopback: paths, credentials, bodies, errors over real HTTP."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import encode_basic_auth
from aiohttp import web as http
from aiohttp.test_utils import TestServer

from tests.support.push import PushService, b64

SID, TOKEN = "AC0123456789abcdef0123456789abcdef", "twilio-token"
VAPID_KEY = b64(bytes(31) + b"\x07")
PHONE_ID, ACCESS, APP_SECRET, VERIFY = "1055501001", "whatsapp-token", "app-secret", "verify-me"


@dataclass(frozen=True, slots=True)
class Say:
    """What a provider answers instead of taking the message."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FakeProviders:
    """All three on one port; ``taken`` is what each took, ``taken_at`` when (monotonic, s), ``say`` what they
    answer instead."""

    base: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    taken_at: list[float] = field(default_factory=list)
    say: Say | None = None
    wrote: set[str] = field(default_factory=set)  # numbers that wrote to us within 24 hours
    pushed: PushService = field(init=False)

    def __post_init__(self) -> None:
        self.pushed = PushService(self.base)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "VISAVIS_SLACK_WEBHOOK_URL": f"{self.base}/services/T0/B0/secret",
            "VISAVIS_TWILIO_API_URL": self.base,
            "VISAVIS_TWILIO_ACCOUNT_SID": SID,
            "VISAVIS_TWILIO_AUTH_TOKEN": TOKEN,
            "VISAVIS_TWILIO_FROM": "+15550100",
            "VISAVIS_WHATSAPP_API_URL": f"{self.base}/v23.0",
            "VISAVIS_WHATSAPP_PHONE_NUMBER_ID": PHONE_ID,
            "VISAVIS_WHATSAPP_ACCESS_TOKEN": ACCESS,
            "VISAVIS_WHATSAPP_APP_SECRET": APP_SECRET,
            "VISAVIS_WHATSAPP_VERIFY_TOKEN": VERIFY,
            "VISAVIS_VAPID_PRIVATE_KEY": VAPID_KEY,
            "VISAVIS_DEMO": "1",  # a push service on this machine is fine there
        }

    async def slack(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        if self.say is not None:
            return self._said()
        if not body.get("text"):
            return http.Response(status=400, text="no_text")
        self._take(body)
        return http.Response(text="ok")

    async def twilio(self, request: http.Request) -> http.StreamResponse:
        if request.headers.get("Authorization") != encode_basic_auth(SID, TOKEN):
            return http.json_response({"code": 20003, "message": "Authenticate", "status": 401}, status=401)
        if self.say is not None:
            return self._said()
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not form.get("To", "").startswith("+"):
            fault = {"code": 21211, "message": "The 'To' number is not valid.", "status": 400}
            return http.json_response(fault, status=400)
        self._take(form)
        sid = f"SM{len(self.taken):032x}"
        return http.json_response({"sid": sid, "status": "queued", "error_code": None}, status=201)

    async def whatsapp(self, request: http.Request) -> http.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {ACCESS}":
            fault = {"message": "Invalid OAuth access token", "type": "OAuthException", "code": 190}
            return http.json_response({"error": fault}, status=401)
        if self.say is not None:
            return self._said()
        body = await request.json()
        if body["type"] != "template" and body["to"] not in self.wrote:
            fault = {"message": "(#131047) Re-engagement message", "type": "OAuthException", "code": 131047}
            return http.json_response({"error": fault}, status=400)
        if self._is_bad(body) or body["messaging_product"] != "whatsapp" or not body["to"].isdigit():
            fault = {"message": "(#100) Invalid parameter", "type": "OAuthException", "code": 100}
            return http.json_response({"error": fault}, status=400)
        self._take(body)
        contact = {"input": body["to"], "wa_id": body["to"]}
        message = {"id": f"wamid.{len(self.taken)}", "message_status": "accepted"}
        return http.json_response(
            {"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]}
        )

    def _take(self, body: dict[str, Any]) -> None:
        self.taken.append(body)
        self.taken_at.append(time.monotonic())

    @staticmethod
    def _is_bad(body: dict[str, Any]) -> bool:
        """What the Cloud API answers with code 100."""
        match body["type"]:
            case "template":
                parameters = [p for c in body["template"]["components"] for p in c["parameters"]]
                texts = [p["text"] for p in parameters if p["type"] == "text"]
                payloads = [p["payload"] for p in parameters if p["type"] == "payload"]
                return any(not t or "\n" in t for t in texts) or any(not 0 < len(p) <= 128 for p in payloads)
            case "text":
                return not 0 < len(body["text"]["body"]) <= 4096
            case "interactive":
                it = body["interactive"]
                replies = [button["reply"] for button in it["action"]["buttons"]]
                titles = [reply["title"] for reply in replies]
                return (
                    it["type"] != "button" or not 0 < len(it["body"]["text"]) <= 1024 or not 1 <= len(replies) <= 3
                    or len(set(titles)) != len(titles) or any(not 0 < len(title) <= 20 for title in titles)
                    or any(not 0 < len(reply["id"]) <= 256 for reply in replies)
                )  # fmt: skip
        return True

    def _said(self) -> http.Response:
        assert self.say is not None
        if isinstance(self.say.body, str):
            return http.Response(status=self.say.status, text=self.say.body, headers=self.say.headers)
        return http.json_response(self.say.body, status=self.say.status, headers=self.say.headers)


@contextlib.asynccontextmanager
async def running_providers() -> AsyncIterator[FakeProviders]:
    fakes = FakeProviders()
    app = http.Application()
    app.router.add_post("/services/T0/B0/secret", fakes.slack)
    app.router.add_post(f"/2010-04-01/Accounts/{SID}/Messages.json", fakes.twilio)
    app.router.add_post(f"/v23.0/{PHONE_ID}/messages", fakes.whatsapp)
    app.router.add_post("/push/{name}", fakes.pushed.push)
    async with TestServer(app) as server:
        fakes.base = fakes.pushed.base = f"http://127.0.0.1:{server.port}"
        yield fakes
