"""Everything before the call, over the published API: two people register, book, approve, and get their room tokens."""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from loadtest.options import LoadError, is_loopback

REQUEST_SECONDS = 30.0
CONCURRENCY = 4  # couples set up at once: argon2 costs the server 50 ms per person
PATIENCE = 120.0  # seconds of Retry-After that one request honours in all
SLOT_MINUTES = (
    15  # the next slot begins within a quarter of an hour, and its room opens a quarter before that
)
MAX_WAIT_FOR_ROOM = 30.0

_AVAILABILITY = {
    "timezone": "UTC",
    "weekly": [{"weekday": day, "start": "00:00", "end": "24:00"} for day in range(7)],
    "overrides": [],
    "slot_minutes": SLOT_MINUTES,
    "buffer_before_minutes": 0,
    "buffer_after_minutes": 0,
    "min_notice_minutes": 0,
    "booking_window_days": 2,
    "max_per_day": 96,
}


@dataclass(slots=True)
class Account:
    """A registered person; the tokens change when they are refreshed."""

    user_id: str
    access_token: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Couple:
    """A mentor and a mentee with an approved session between them."""

    session_id: str
    people: tuple[Account, Account]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one person needs at the door of the room."""

    ws_url: str
    room_token: str


class Refused(LoadError):
    """The server said no; `code` is its stable name of the reason."""

    def __init__(self, what: str, status: int, code: str, detail: str) -> None:
        super().__init__(f"{what}: {status} {code or 'without a code'}. {detail}".rstrip())
        self.status = status
        self.code = code


class Api:
    """The API of one server. Use as an async context manager."""

    def __init__(self, base: str, own_server: bool) -> None:
        self._base = base
        self._own_server = own_server
        self._http: aiohttp.ClientSession | None = None
        self._gate = asyncio.Semaphore(CONCURRENCY)

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def couple(self) -> Couple:
        """Two new people with a session that can be joined now. Raises LoadError."""
        async with self._gate:
            mentor, mentee = await asyncio.gather(self._register("mentor"), self._register("mentee"))
            await self._call("PUT", "/me/availability", mentor, _AVAILABILITY)
            for _ in range(3):
                start, end = await self._first_slot(mentor.user_id, mentee)
                wanted = {"mentor_id": mentor.user_id, "start": start, "end": end, "topic": "Load test"}
                try:
                    booking = await self._call("POST", "/bookings", mentee, wanted)
                    break
                except Refused as refusal:
                    # The quarter of an hour struck between looking and booking.
                    if refusal.status not in (409, 422):
                        raise
            else:
                raise LoadError("No slot could be booked in three tries")
            await self._call("POST", f"/bookings/{booking['id']}/approve", mentor)
            return Couple(str(booking["session_id"]), (mentor, mentee))

    async def tickets(self, couple: Couple) -> tuple[Ticket, Ticket]:
        """A way into the room for both. Raises LoadError."""
        async with self._gate:
            one, other = [await self._join(couple.session_id, person) for person in couple.people]
            return one, other

    async def _join(self, session_id: str, person: Account) -> Ticket:
        waited = 0.0
        while True:
            try:
                reply = await self._call("POST", f"/sessions/{session_id}/join", person)
                break
            except Refused as refusal:
                if refusal.code != "too_early" or waited >= MAX_WAIT_FOR_ROOM:
                    raise
                waited += 1
                await asyncio.sleep(1)
        url = str(reply["ws_url"])
        if url.startswith("/"):
            url = self._base + url
        host = urlsplit(url).hostname or ""
        if not self._own_server and not is_loopback(host):
            raise LoadError(
                f"The server sends us to {host}, which is not this machine (see --i-own-this-server)"
            )
        return Ticket(url, str(reply["room_token"]))

    async def _register(self, role: str) -> Account:
        name = f"loadtest-{secrets.token_hex(8)}"
        body = {
            # example.org is set aside for documentation (RFC 2606): nobody gets these mails.
            "email": f"{name}@example.org",
            "password": secrets.token_urlsafe(18),
            "name": f"Load test {role}",
            "role": role,
            "timezone": "UTC",
        }
        reply = await self._call("POST", "/auth/register", None, body)
        return Account(str(reply["user"]["id"]), str(reply["access_token"]), str(reply["refresh_token"]))

    async def _first_slot(self, mentor_id: str, mentee: Account) -> tuple[str, str]:
        now = datetime.now(UTC)
        span = {"from": _instant(now), "to": _instant(now + timedelta(hours=2)), "tz": "UTC"}
        reply = await self._call("GET", f"/mentors/{mentor_id}/slots", mentee, query=span)
        slots = reply["slots"]
        if not slots:
            raise LoadError("The mentor has no open slot in the next two hours")
        return str(slots[0]["start"]), str(slots[0]["end"])

    async def _call(
        self,
        method: str,
        path: str,
        person: Account | None,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request, repeated as long as the server says 429. Raises Refused, LoadError."""
        if self._http is None:
            raise LoadError("The API is used outside of its context")
        waited, refreshed = 0.0, False
        while True:
            headers = {} if person is None else {"Authorization": f"Bearer {person.access_token}"}
            url = f"{self._base}/api/v1{path}"
            try:
                async with self._http.request(method, url, json=body, params=query, headers=headers) as reply:
                    document = await reply.json(content_type=None) if reply.content_length != 0 else {}
                    status, wait = reply.status, reply.headers.get("Retry-After", "1")
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise LoadError(
                    f"{method} {path}: no usable answer ({str(error) or type(error).__name__})"
                ) from error
            if status < 400:
                return document if isinstance(document, dict) else {}
            if status == 401 and person is not None and not refreshed:
                refreshed = True
                await self._refresh(person)
                continue
            pause = float(wait) if wait.isdecimal() else 1.0
            if status == 429 and waited + pause <= PATIENCE:
                waited += pause
                await asyncio.sleep(pause)
                continue
            problem = document if isinstance(document, dict) else {}
            faults = "; ".join(
                f"{it.get('field')}: {it.get('message')}" for it in problem.get("errors") or ()
            )
            raise Refused(
                f"{method} {path}",
                status,
                str(problem.get("code", "")),
                faults or str(problem.get("detail", "")),
            )

    async def _refresh(self, person: Account) -> None:
        reply = await self._call("POST", "/auth/refresh", None, {"refresh_token": person.refresh_token})
        person.access_token = str(reply["access_token"])
        person.refresh_token = str(reply["refresh_token"])


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
