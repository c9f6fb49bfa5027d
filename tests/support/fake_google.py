"""A Google on loopback that speaks its real protocols: OAuth 2 with PKCE, Calendar v3, push. It lies only when told to.

What it promises is written after Google's reference: sync tokens that die (410), ETags and If-Match (412), ids of the
client's choice that stay taken after a deletion (409), tokens that end (401) or are revoked (invalid_grant), quotas
(403), faults (5xx), and answers that take too long.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

from aiohttp import ClientSession
from aiohttp import web as http
from aiohttp.test_utils import TestServer

CLIENT_ID, CLIENT_SECRET = "visavis.apps.test", "google-secret"
ACCOUNT = "asha@gmail.test"
EVENT_ID = re.compile(r"[a-v0-9]{5,1024}")
EVENTS_SCOPE = "https://www.googleapis.com/auth/calendar.events"


@dataclass(slots=True)
class Code:
    challenge: str
    redirect_uri: str
    scopes: list[str]


@dataclass(frozen=True, slots=True)
class PushChannel:
    id: str
    token: str
    address: str
    resource: str
    expiration: int


@dataclass(slots=True)
class FakeGoogle:
    """One account with one calendar. ``trouble`` answers the next calls of the API instead of it, in order."""

    base: str = ""
    zone: str = "Europe/Berlin"
    page: int = 250
    refuse_scope: bool = False
    access_seconds: int = 3600
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    trouble: list[Callable[[http.Request], Awaitable[http.StreamResponse]]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)  # of the calendar API
    channels: dict[str, PushChannel] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    refreshes: int = 0
    codes: dict[str, Code] = field(default_factory=dict)
    access: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    before_write: Callable[[], None] | None = None  # somebody else is quicker, once
    _clock: int = 0
    _oldest: int = 0  # sync tokens before this are dead

    # ------------------------------------------------------------ what a test does to it

    def put(self, event_id: str, start: datetime, end: datetime, **fields: Any) -> None:
        """The account's owner writes an event by hand."""
        self._store(event_id, {"start": _time(start), "end": _time(end), "summary": "Dentist", **fields})

    def put_days(self, event_id: str, first: str, after: str) -> None:
        """Whole days, [first, after)."""
        self._store(event_id, {"start": {"date": first}, "end": {"date": after}, "summary": "Leave"})

    def cancel(self, event_id: str) -> None:
        self._store(event_id, {"status": "cancelled"})

    def touch(self, event_id: str) -> None:
        """Somebody else changes the event."""
        self._store(event_id, {"summary": "Changed by hand"})

    def forget_sync_tokens(self) -> None:
        self._oldest = self._clock + 1

    def expire_access(self) -> None:
        self.access.clear()

    def revoke_all(self) -> None:
        self.access.clear()
        self.refresh.clear()

    def fail(self, *answers: tuple[int, str, dict[str, str]]) -> None:
        """(status, reason, headers) for each of the next calls."""
        for status, reason, headers in answers:
            self.trouble.append(lambda _, s=status, r=reason, h=headers: _answer(s, _error(s, r), h))  # type: ignore[misc]

    def hang(self) -> asyncio.Event:
        """The next call is answered only once the event is set."""
        release = asyncio.Event()

        async def wait(request: http.Request) -> http.StreamResponse:
            await release.wait()
            return await _answer(503, _error(503, "backendError"), {})

        self.trouble.append(wait)
        return release

    async def consent(self, url: str) -> str:
        """What the person's browser does at the consent page: where it is led back to."""
        async with ClientSession() as browser, browser.get(url, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            return response.headers["Location"]

    def grant(self) -> tuple[str, str]:
        """(access, refresh) as if the consent had been given."""
        access, refresh = f"ya29.{secrets.token_hex(8)}", f"1//{secrets.token_hex(8)}"
        self.access.add(access)
        self.refresh.add(refresh)
        return access, refresh

    async def push(self, base: str, *, state: str = "exists", token: str | None = None) -> list[int]:
        """Tell every channel, at ``base`` in place of the host it asked for; the statuses of the answers."""
        statuses = []
        async with ClientSession() as client:
            for number, channel in enumerate(self.channels.values(), 1):
                headers = {
                    "X-Goog-Channel-ID": channel.id,
                    "X-Goog-Channel-Token": channel.token if token is None else token,
                    "X-Goog-Resource-ID": channel.resource,
                    "X-Goog-Resource-State": state,
                    "X-Goog-Message-Number": str(number),
                }
                path = re.sub(r"^https?://[^/]+", "", channel.address)
                async with client.post(base + path, headers=headers) as response:
                    statuses.append(response.status)
        return statuses

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Our events that a person sees, in order of time."""
        live = [
            it
            for it in self.events.values()
            if it["id"].startswith("visavis") and it["status"] != "cancelled"
        ]
        return sorted(live, key=lambda it: it["start"]["dateTime"])

    # ------------------------------------------------------------ accounts.google.com, oauth2.googleapis.com

    async def authorize(self, request: http.Request) -> http.StreamResponse:
        query = request.query
        wrong = (
            query.get("client_id") != CLIENT_ID
            or query.get("response_type") != "code"
            or query.get("code_challenge_method") != "S256"
            or query.get("access_type") != "offline"
            or query.get("include_granted_scopes") != "true"
            or not query.get("state")
        )
        if wrong:
            return http.Response(status=400, text="Error 400: invalid_request")
        scopes = [it for it in query["scope"].split() if not (self.refuse_scope and it == EVENTS_SCOPE)]
        code = secrets.token_urlsafe(16)
        self.codes[code] = Code(query["code_challenge"], query["redirect_uri"], scopes)
        answer = urlencode({"state": query["state"], "code": code, "scope": " ".join(scopes)})
        return http.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{answer}"})

    async def token(self, request: http.Request) -> http.StreamResponse:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return http.json_response({"error": "invalid_client"}, status=401)
        if form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") not in self.refresh:
                return http.json_response({"error": "invalid_grant"}, status=400)
            self.refreshes += 1
            access = f"ya29.{secrets.token_hex(8)}"
            self.access.add(access)
            return http.json_response(
                {"access_token": access, "expires_in": self.access_seconds, "token_type": "Bearer"}
            )
        code = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if code is None or proof != code.challenge or form.get("redirect_uri") != code.redirect_uri:
            return http.json_response({"error": "invalid_grant"}, status=400)
        access, refresh = self.grant()
        return http.json_response(
            {
                "access_token": access,
                "refresh_token": refresh,
                "expires_in": self.access_seconds,
                "token_type": "Bearer",
                "scope": " ".join(code.scopes),
                "id_token": id_token(
                    {"iss": "https://accounts.google.com", "aud": CLIENT_ID, "email": ACCOUNT}
                ),
            }
        )

    async def revoke(self, request: http.Request) -> http.StreamResponse:
        form = parse_qs(await request.text())
        known = form.get("token", [""])[0] in self.refresh
        self.revoke_all()
        return http.json_response({} if known else {"error": "invalid_token"}, status=200 if known else 400)

    # ------------------------------------------------------------ calendar/v3

    async def guard(
        self, request: http.Request, then: Callable[[http.Request], Awaitable[http.StreamResponse]]
    ) -> http.StreamResponse:
        self.calls.append((request.method, request.path))
        if self.trouble:
            return await self.trouble.pop(0)(request)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.access:
            return await _answer(401, _error(401, "authError"), {})
        return await then(request)

    async def listing(self, request: http.Request) -> http.StreamResponse:
        query = request.query
        if (given := query.get("syncToken")) is not None:
            if "timeMin" in query or "timeMax" in query:
                return await _answer(400, _error(400, "badRequest"), {})
            token = json.loads(base64.urlsafe_b64decode(given))
            if token["at"] < self._oldest:
                return await _answer(410, _error(410, "fullSyncRequired"), {})
            since, low, high = token["at"], token["min"], token["max"]
        else:
            since, low, high = -1, query.get("timeMin", ""), query.get("timeMax", "9")
        found = [
            event
            for event in sorted(self.events.values(), key=lambda it: it["_at"])
            if event["_at"] > since
            and (since >= 0 or event["status"] != "cancelled")
            and _touches(event, low, high)
        ]
        skip, size = int(query.get("pageToken", "0")), min(int(query.get("maxResults", "250")), self.page)
        answer: dict[str, Any] = {
            "kind": "calendar#events",
            "summary": ACCOUNT,
            "timeZone": self.zone,
            "items": [_public(it) for it in found[skip : skip + size]],
        }
        if len(found) > skip + size:
            answer["nextPageToken"] = str(skip + size)
        else:
            state = json.dumps({"at": self._clock, "min": low, "max": high}).encode()
            answer["nextSyncToken"] = base64.urlsafe_b64encode(state).decode()
        return http.json_response(answer)

    async def insert(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        event_id = body.get("id") or secrets.token_hex(13)
        if not EVENT_ID.fullmatch(event_id):
            return await _answer(400, _error(400, "invalid"), {})
        if event_id in self.events:
            return await _answer(409, _error(409, "duplicate"), {})
        return http.json_response(_public(self._store(event_id, body)))

    async def one(self, request: http.Request) -> http.StreamResponse:
        event = self.events.get(request.match_info["id"])
        return (
            await _answer(404, _error(404, "notFound"), {})
            if event is None
            else http.json_response(_public(event))
        )

    async def patch(self, request: http.Request) -> http.StreamResponse:
        if (refused := await self._unmatched(request)) is not None:
            return refused
        return http.json_response(_public(self._store(request.match_info["id"], await request.json())))

    async def delete(self, request: http.Request) -> http.StreamResponse:
        if (refused := await self._unmatched(request)) is not None:
            return refused
        event_id = request.match_info["id"]
        if self.events[event_id]["status"] == "cancelled":
            return await _answer(410, _error(410, "deleted"), {})
        self._store(event_id, {"status": "cancelled"})
        return http.Response(status=204)

    async def watch(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        if body.get("type") != "web_hook" or not body.get("address", "").startswith("https://"):
            return await _answer(400, _error(400, "push.webhookUrlNotHttps"), {})
        if body["id"] in self.channels:
            return await _answer(400, _error(400, "channelIdNotUnique"), {})
        channel = PushChannel(
            body["id"], body["token"], body["address"], secrets.token_hex(8), int(body["expiration"])
        )
        self.channels[channel.id] = channel
        return http.json_response(
            {
                "kind": "api#channel",
                "id": channel.id,
                "resourceId": channel.resource,
                "expiration": str(channel.expiration),
            }
        )

    async def stop(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        channel = self.channels.get(body["id"])
        if channel is None or channel.resource != body["resourceId"]:
            return await _answer(404, _error(404, "notFound"), {})
        del self.channels[channel.id]
        self.stopped.append(channel.id)
        return http.Response(status=204)

    async def _unmatched(self, request: http.Request) -> http.StreamResponse | None:
        if self.before_write is not None:
            quicker, self.before_write = self.before_write, None
            quicker()
        event = self.events.get(request.match_info["id"])
        if event is None:
            return await _answer(404, _error(404, "notFound"), {})
        if request.headers.get("If-Match", event["etag"]) not in (event["etag"], "*"):
            return await _answer(412, _error(412, "conditionNotMet"), {})
        return None

    def _store(self, event_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        self._clock += 1
        known = self.events.get(event_id, {"status": "confirmed"})
        event = {**known, **fields, "id": event_id, "etag": f'"{self._clock}"', "_at": self._clock}
        self.events[event_id] = event
        return event

    def application(self) -> http.Application:
        app = http.Application()
        api = "/calendar/v3"
        routes: list[tuple[str, str, Callable[[http.Request], Awaitable[http.StreamResponse]]]] = [
            ("GET", f"{api}/calendars/primary/events", self.listing),
            ("POST", f"{api}/calendars/primary/events", self.insert),
            ("POST", f"{api}/calendars/primary/events/watch", self.watch),
            ("GET", f"{api}/calendars/primary/events/{{id}}", self.one),
            ("PATCH", f"{api}/calendars/primary/events/{{id}}", self.patch),
            ("DELETE", f"{api}/calendars/primary/events/{{id}}", self.delete),
            ("POST", f"{api}/channels/stop", self.stop),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, partial(self.guard, then=handler))
        app.router.add_get("/o/oauth2/v2/auth", self.authorize)
        app.router.add_post("/token", self.token)
        app.router.add_post("/revoke", self.revoke)
        return app


@contextlib.asynccontextmanager
async def running_google() -> AsyncIterator[FakeGoogle]:
    google = FakeGoogle()
    async with TestServer(google.application()) as server:
        google.base = f"http://{server.host}:{server.port}"
        yield google


async def _answer(status: int, body: dict[str, Any], headers: dict[str, str]) -> http.StreamResponse:
    return http.json_response(body, status=status, headers=headers)


def _error(status: int, reason: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}}


def _public(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not name.startswith("_")}


def _time(at: datetime) -> dict[str, str]:
    return {"dateTime": at.isoformat()}


def _touches(event: dict[str, Any], low: str, high: str) -> bool:
    if event["status"] == "cancelled" or "start" not in event:
        return True
    start, end = _epoch(event["start"]), _epoch(event["end"])
    return (not low or end > _epoch({"dateTime": low})) and (
        high == "9" or start < _epoch({"dateTime": high})
    )


def _epoch(value: dict[str, str]) -> float:
    if "date" in value:
        return (datetime.fromisoformat(value["date"]).replace(tzinfo=UTC) + timedelta(hours=12)).timestamp()
    return datetime.fromisoformat(value["dateTime"]).timestamp()


def id_token(claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return (
        f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.{base64.urlsafe_b64encode(b'sig').decode()}"
    )
