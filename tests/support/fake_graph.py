"""A Microsoft on loopback that speaks its real protocols: OAuth 2 with PKCE, Graph v1.0, change notifications.

Written after Microsoft's reference: refresh tokens that change with every use, delta links over pages that die (410, or
a 40x with syncStateNotFound), occurrences that leave to their series master what they share, ETags and If-Match (412),
transaction ids that make a repeated creation one event, the validation handshake of subscriptions, throttling (429).
"""

from __future__ import annotations

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

from tests.support.fake_google import Code, id_token

CLIENT_ID, CLIENT_SECRET, TENANT = "11111111-2222-3333-4444-555555555555", "microsoft-secret", "common"
ACCOUNT = "asha@outlook.test"
EVENTS_SCOPE = "https://graph.microsoft.com/Calendars.ReadWrite"
FILTER = re.compile(
    r"singleValueExtendedProperties/Any\((\w+): \1/id eq '([^']+)' and \1/value eq '([^']+)'\)"
)


@dataclass(frozen=True, slots=True)
class Subscription:
    id: str
    state: str
    address: str
    expires: str


@dataclass(slots=True)
class FakeGraph:
    """One account with one calendar. ``trouble`` answers the next calls of Graph instead of it, in order."""

    base: str = ""
    page: int = 500
    refuse_scope: bool = False
    validate_at: str | None = None  # where notifications really go: our public host is made up
    dead_link: tuple[int, str] = (410, "syncStateNotFound")
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    spent: set[str] = field(default_factory=set)
    trouble: list[Callable[[http.Request], Awaitable[http.StreamResponse]]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    refreshes: int = 0
    codes: dict[str, Code] = field(default_factory=dict)
    access: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=set)
    before_write: Callable[[], None] | None = None  # somebody else is quicker, once
    _clock: int = 0
    _oldest: int = 0  # delta links before this are dead

    # ------------------------------------------------------------ what a test does to it

    def put(self, event_id: str, start: datetime, end: datetime, **fields: Any) -> None:
        """The account's owner writes an event by hand."""
        plain = {"subject": "Dentist", "showAs": "busy", "type": "singleInstance", "isAllDay": False}
        self._store(event_id, {"start": _time(start), "end": _time(end), **plain, **fields})

    def put_days(self, event_id: str, first: str, after: str, zone: str) -> None:
        """Whole days, [first, after), written in a zone by its Windows name."""
        days = {"start": {"dateTime": f"{first}T00:00:00.0000000", "timeZone": "UTC"},
                "end": {"dateTime": f"{after}T00:00:00.0000000", "timeZone": "UTC"}}  # fmt: skip
        whole = {"isAllDay": True, "originalStartTimeZone": zone, "subject": "Leave", "showAs": "oof"}
        self._store(event_id, {**days, **whole, "type": "singleInstance"})

    def put_series(self, event_id: str, starts: list[datetime], length: timedelta, **fields: Any) -> None:
        """A series: the master says what its occurrences share."""
        master = {
            "subject": "Jour fixe",
            "showAs": "busy",
            "type": "seriesMaster",
            "isAllDay": False,
            **fields,
        }
        self._store(event_id, {"start": _time(starts[0]), "end": _time(starts[0] + length), **master})
        for number, start in enumerate(starts):
            occurrence = {"type": "occurrence", "seriesMasterId": event_id}
            self._store(
                f"{event_id}.{number}", {"start": _time(start), "end": _time(start + length), **occurrence}
            )

    def cancel(self, event_id: str) -> None:
        """The owner deletes it: by its id, or one of ours by what we call it."""
        self._remove(self._named(event_id))

    def touch(self, event_id: str) -> None:
        """Somebody else changes the event."""
        self._store(self._named(event_id), {"subject": "Changed by hand"})

    def forget_delta_links(self) -> None:
        self._oldest = self._clock + 1

    def expire_access(self) -> None:
        self.access.clear()

    def revoke_all(self) -> None:
        self.access.clear()
        self.refresh.clear()

    def fail(self, *answers: tuple[int, str, dict[str, str]]) -> None:
        """(status, code, headers) for each of the next calls."""
        for status, code, headers in answers:
            self.trouble.append(lambda _, s=status, c=code, h=headers: _answer(s, c, h))  # type: ignore[misc]

    async def consent(self, url: str) -> str:
        """What the person's browser does at the consent page: where it is led back to."""
        async with ClientSession() as browser, browser.get(url, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            return response.headers["Location"]

    def grant(self) -> tuple[str, str]:
        """(access, refresh) as if the consent had been given."""
        access, refresh = f"EwB{secrets.token_hex(8)}", f"M.C5{secrets.token_hex(8)}"
        self.access.add(access)
        self.refresh.add(refresh)
        return access, refresh

    async def notify(self, base: str, *, state: str | None = None) -> list[int]:
        """Tell every subscriber, at ``base`` in place of the host it asked for; the statuses of the answers."""
        statuses = []
        async with ClientSession() as client:
            for it in self.subscriptions.values():
                note = {
                    "subscriptionId": it.id,
                    "subscriptionExpirationDateTime": it.expires,
                    "changeType": "updated",
                    "resource": "Users/1/Events/2",
                    "clientState": it.state if state is None else state,
                    "tenantId": "3",
                }
                async with client.post(base + _path(it.address), json={"value": [note]}) as response:
                    statuses.append(response.status)
        return statuses

    @property
    def shown(self) -> list[dict[str, Any]]:
        """Our events that a person sees, in order of time."""
        live = [it for it in self.events.values() if it.get("transactionId")]
        return sorted(live, key=lambda it: str(it["start"]["dateTime"]))

    # ------------------------------------------------------------ login.microsoftonline.com

    async def authorize(self, request: http.Request) -> http.StreamResponse:
        query = request.query
        scopes = query.get("scope", "").split()
        wrong = (
            query.get("client_id") != CLIENT_ID
            or query.get("response_type") != "code"
            or query.get("code_challenge_method") != "S256"
            or "offline_access" not in scopes
            or not query.get("state")
        )
        if wrong:
            return http.Response(status=400, text="AADSTS900144: The request body must contain ...")
        # What is granted is told without offline_access, and Graph's scopes by their short names.
        granted = [it.rpartition("/")[2] for it in scopes if it != "offline_access"]
        if self.refuse_scope:
            granted.remove("Calendars.ReadWrite")
        code = secrets.token_urlsafe(16)
        self.codes[code] = Code(query["code_challenge"], query["redirect_uri"], granted)
        answer = urlencode({"code": code, "state": query["state"], "session_state": "1"})
        raise http.HTTPFound(f"{query['redirect_uri']}?{answer}")

    async def token(self, request: http.Request) -> http.StreamResponse:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return http.json_response({"error": "invalid_client", "error_codes": [7000215]}, status=401)
        refused = {"error": "invalid_grant", "error_codes": [70000], "suberror": "bad_token"}
        if form.get("grant_type") == "refresh_token":
            if (old := form.get("refresh_token", "")) not in self.refresh:
                return http.json_response(refused, status=400)
            self.refresh.discard(old)  # stricter than Microsoft, who lets it live a while
            self.refreshes += 1
            return http.json_response(self._tokens(["Calendars.ReadWrite"]))
        code = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if code is None or proof != code.challenge or form.get("redirect_uri") != code.redirect_uri:
            return http.json_response(refused, status=400)
        claims = {"iss": "https://login.microsoftonline.com/1/v2.0", "preferred_username": ACCOUNT}
        return http.json_response(self._tokens(code.scopes) | {"id_token": id_token(claims)})

    def _tokens(self, scopes: list[str]) -> dict[str, Any]:
        access, refresh = self.grant()
        return {
            "token_type": "Bearer", "scope": " ".join(scopes), "expires_in": 3600, "ext_expires_in": 3600,
            "access_token": access, "refresh_token": refresh,
        }  # fmt: skip

    # ------------------------------------------------------------ graph.microsoft.com

    async def guard(
        self, request: http.Request, then: Callable[[http.Request], Awaitable[http.StreamResponse]]
    ) -> http.StreamResponse:
        self.calls.append((request.method, request.path))
        if self.trouble:
            return await self.trouble.pop(0)(request)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.access:
            return await _answer(401, "InvalidAuthenticationToken")
        return await then(request)

    async def delta(self, request: http.Request) -> http.StreamResponse:
        query = request.query
        if (given := query.get("$deltatoken") or query.get("$skiptoken")) is not None:
            at = json.loads(base64.urlsafe_b64decode(given))
            if at["since"] >= 0 and at["since"] < self._oldest:
                return await _answer(*self.dead_link)
        elif "startDateTime" not in query or "endDateTime" not in query:
            return await _answer(400, "ErrorInvalidParameter")
        else:
            at = {"since": -1, "skip": 0, "min": query["startDateTime"], "max": query["endDateTime"]}
        changed = [it for it in self.events.values() if it["_at"] > at["since"] and _touches(it, at)]
        found = [_public(it) for it in sorted(changed, key=lambda it: it["_at"])]
        if at["since"] >= 0:
            found += [
                {"id": name, "@removed": {"reason": "deleted"}}
                for name, when in self.gone.items()
                if when > at["since"]
            ]
        preferred = re.search(r"odata\.maxpagesize=(\d+)", request.headers.get("Prefer", ""))
        size = min(int(preferred[1]) if preferred else 10, self.page)
        skip = at["skip"]
        answer: dict[str, Any] = {"value": found[skip : skip + size]}
        if len(found) > skip + size:
            answer["@odata.nextLink"] = self._link("$skiptoken", at | {"skip": skip + size})
        else:
            answer["@odata.deltaLink"] = self._link("$deltatoken", at | {"since": self._clock, "skip": 0})
        return http.json_response(answer)

    def _link(self, name: str, state: dict[str, Any]) -> str:
        token = base64.urlsafe_b64encode(json.dumps(state).encode()).decode()
        return f"{self.base}/v1.0/me/calendarView/delta?{urlencode({name: token})}"

    async def search(self, request: http.Request) -> http.StreamResponse:
        asked = FILTER.fullmatch(request.query.get("$filter", ""))
        if asked is None:
            return await _answer(400, "ErrorInvalidUrlQueryFilter")
        found = [
            {"id": it["id"], "@odata.etag": it["@odata.etag"]}
            for it in self.events.values()
            if any(p["id"] == asked[2] and p["value"] == asked[3] for p in it.get("_properties", ()))
        ]
        return http.json_response({"value": found[: int(request.query.get("$top", "10"))]})

    async def insert(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        transaction = body.get("transactionId")
        if transaction in self.spent:
            known = next((it for it in self.events.values() if it.get("transactionId") == transaction), None)
            if known is None:
                return await _answer(409, "ErrorDuplicateTransactionId")
            return http.json_response(_public(known), status=201)
        if transaction:
            self.spent.add(transaction)
        properties = body.pop("singleValueExtendedProperties", [])
        made = {"type": "singleInstance", "isAllDay": False, **body, "_properties": properties}
        event = self._store(f"AAkALg{secrets.token_hex(12)}=", made)
        return http.json_response(_public(event), status=201)

    async def patch(self, request: http.Request) -> http.StreamResponse:
        if (refused := await self._unmatched(request)) is not None:
            return refused
        return http.json_response(_public(self._store(request.match_info["id"], await request.json())))

    async def delete(self, request: http.Request) -> http.StreamResponse:
        if (refused := await self._unmatched(request)) is not None:
            return refused
        self._remove(request.match_info["id"])
        return http.Response(status=204)

    async def subscribe(self, request: http.Request) -> http.StreamResponse:
        body = await request.json()
        wanted = {"changeType", "notificationUrl", "resource", "expirationDateTime"}
        expires = datetime.fromisoformat(body.get("expirationDateTime", "2000-01-01T00:00:00Z"))
        if not wanted <= body.keys() or not body["notificationUrl"].startswith("https://"):
            return await _answer(400, "InvalidRequest")
        if len(body.get("clientState", "")) > 128:
            return await _answer(400, "InvalidRequest")
        if self.validate_at is not None and not await self._validated(body["notificationUrl"]):
            return await _answer(400, "ValidationError")
        made = Subscription(
            secrets.token_hex(8), body["clientState"], body["notificationUrl"], _stamp(expires)
        )
        self.subscriptions[made.id] = made
        return http.json_response({**body, "id": made.id, "expirationDateTime": made.expires}, status=201)

    async def _validated(self, address: str) -> bool:
        """Graph asks the address to say a token back, in plain text, before it makes the subscription."""
        token = f"Validation: Testing client application reachability {secrets.token_hex(8)}: & <b>"
        url = f"{self.validate_at}{_path(address)}?{urlencode({'validationToken': token})}"
        async with ClientSession() as client, client.post(url) as answer:
            plain = answer.content_type == "text/plain"
            return answer.status == 200 and plain and await answer.text() == token

    async def unsubscribe(self, request: http.Request) -> http.StreamResponse:
        if self.subscriptions.pop(request.match_info["id"], None) is None:
            return await _answer(404, "ResourceNotFound")
        return http.Response(status=204)

    async def _unmatched(self, request: http.Request) -> http.StreamResponse | None:
        if self.before_write is not None:
            quicker, self.before_write = self.before_write, None
            quicker()
        event = self.events.get(request.match_info["id"])
        if event is None:
            return await _answer(404, "ErrorItemNotFound")
        if request.headers.get("If-Match", "*") not in (event["@odata.etag"], "*"):
            return await _answer(412, "ErrorIrresolvableConflict")
        return None

    def _named(self, name: str) -> str:
        ours = [
            event_id
            for event_id, it in self.events.items()
            if any(p["value"] == name for p in it.get("_properties", ()))
        ]
        return ours[0] if ours else name

    def _store(self, event_id: str, fields: dict[str, Any]) -> dict[str, Any]:
        self._clock += 1
        self.gone.pop(event_id, None)
        mark = {"id": event_id, "@odata.etag": f'W/"{self._clock}"', "_at": self._clock}
        self.events[event_id] = {**self.events.get(event_id, {}), **fields, **mark}
        return self.events[event_id]

    def _remove(self, event_id: str) -> None:
        self._clock += 1
        del self.events[event_id]
        self.gone[event_id] = self._clock

    def application(self) -> http.Application:
        app = http.Application()
        api = "/v1.0"
        routes: list[tuple[str, str, Callable[[http.Request], Awaitable[http.StreamResponse]]]] = [
            ("GET", f"{api}/me/calendarView/delta", self.delta),
            ("GET", f"{api}/me/events", self.search),
            ("POST", f"{api}/me/events", self.insert),
            ("PATCH", f"{api}/me/events/{{id}}", self.patch),
            ("DELETE", f"{api}/me/events/{{id}}", self.delete),
            ("POST", f"{api}/subscriptions", self.subscribe),
            ("DELETE", f"{api}/subscriptions/{{id}}", self.unsubscribe),
        ]
        for method, path, handler in routes:
            app.router.add_route(method, path, partial(self.guard, then=handler))
        app.router.add_get(f"/{TENANT}/oauth2/v2.0/authorize", self.authorize)
        app.router.add_post(f"/{TENANT}/oauth2/v2.0/token", self.token)
        return app


@contextlib.asynccontextmanager
async def running_graph() -> AsyncIterator[FakeGraph]:
    graph = FakeGraph()
    async with TestServer(graph.application()) as server:
        graph.base = f"http://{server.host}:{server.port}"
        yield graph


async def _answer(status: int, code: str, headers: dict[str, str] | None = None) -> http.StreamResponse:
    error = {"error": {"code": code, "message": "...", "innerError": {"request-id": "1"}}}
    return http.json_response(error, status=status, headers=headers or {})


def _public(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if not name.startswith("_")}


def _time(at: datetime) -> dict[str, str]:
    return {"dateTime": f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.0000000", "timeZone": "UTC"}


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"


def _touches(event: dict[str, Any], at: dict[str, Any]) -> bool:
    low, high = (datetime.fromisoformat(at[name]) for name in ("min", "max"))
    start, end = (
        datetime.fromisoformat(event[name]["dateTime"]).replace(tzinfo=UTC) for name in ("start", "end")
    )
    return end > low and start < high


def _path(address: str) -> str:
    return re.sub(r"^https?://[^/]+", "", address)
