"""Calls a calendar's JSON API with a bearer token: refreshes it once, and tells refusals apart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from json import loads
from typing import Any

import aiohttp

from server.base.clock import Clock
from server.integrations.calendars.oauth import EARLY, Service, refresh
from server.integrations.calendars.protocol import (
    TIMEOUT,
    CalendarAway,
    CalendarRefused,
    Credentials,
    CursorLost,
    EventChanged,
    EventExists,
    EventGone,
    GrantRevoked,
    Keep,
)

MOST = 8 * 1024 * 1024  # bytes of one answer; a page of 2,500 events has about two million
LONGEST_WAIT = timedelta(hours=1)  # what we let a Retry-After ask for


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    data: Mapping[str, Any]
    etag: str


async def read_all(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked. Raises `CalendarRefused` beyond MOST, without having read more than that."""
    body = bytearray()
    async for part in response.content.iter_chunked(65536):
        body += part
        if len(body) > MOST:
            raise CalendarRefused("the answer is too long")
    return bytes(body)


def retry_after(value: str, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110 section 10.2.3), at most LONGEST_WAIT."""
    if value.strip().isdecimal():
        return min(timedelta(seconds=min(int(value), 10**6)), LONGEST_WAIT)
    try:
        wait = parsedate_to_datetime(value) - now
    except (ValueError, TypeError):
        return None
    return min(max(wait, timedelta()), LONGEST_WAIT)


class Rest:
    """One person's API. ``slow_down`` names the reasons of a 403 that only mean: not so fast."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        service: Service,
        credentials: Credentials,
        keep: Keep,
        slow_down: frozenset[str],
    ) -> None:
        self._http, self._clock, self._service, self._keep = http, clock, service, keep
        self.credentials = credentials
        self._slow_down = slow_down

    async def call(
        self, method: str, url: str, json: Mapping[str, Any] | None = None, **headers: str
    ) -> Answer:
        """The answer, if it is a good one. Underscores in header names are hyphens.

        Raises what `Calendar` names: 404 `EventGone`, 409 `EventExists`, 410 `CursorLost`, 412 `EventChanged`.
        """
        expires_at = self.credentials.expires_at
        if expires_at is not None and expires_at - EARLY <= self._clock.now():
            await self._refresh()
        answer, wait = await self._once(method, url, json, headers)
        if answer.status == 401:
            await self._refresh()
            answer, wait = await self._once(method, url, json, headers)
            if answer.status == 401:
                raise GrantRevoked("a new token is refused, too")
        return self._judged(answer, wait)

    async def _refresh(self) -> None:
        self.credentials = await refresh(self._http, self._clock, self._service, self.credentials)
        await self._keep(self.credentials)

    async def _once(
        self, method: str, url: str, json: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[Answer, timedelta | None]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.credentials.access_token}"
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._http.request(method, url, json=json, headers=named, allow_redirects=False) as response,
            ):
                body = await read_all(response)
                data = loads(body) if body else {}
                etag = response.headers.get("ETag", "")
                answer = Answer(response.status, data if isinstance(data, dict) else {}, etag)
                return answer, retry_after(response.headers.get("Retry-After", ""), self._clock.now())
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CalendarAway(f"{type(error).__name__}: {method} {url.partition('?')[0]}") from error
        except ValueError as error:  # not JSON: a proxy's error page
            raise CalendarAway(f"no JSON: {method} {url.partition('?')[0]}") from error

    def _judged(self, answer: Answer, wait: timedelta | None) -> Answer:
        reason = _reason(answer.data)
        text = f"{self._service.name} answers {answer.status} {reason}".strip()
        match answer.status:
            case status if 200 <= status < 300:
                return answer
            case 404:
                raise EventGone(text)
            case 409:
                raise EventExists(text)
            case 410:
                raise CursorLost(text)
            case 412:
                raise EventChanged(text)
            case 429:
                raise CalendarAway(text, wait)
            case 403 if reason in self._slow_down:
                raise CalendarAway(text, wait)
            case status if status >= 500 or status == 408:
                raise CalendarAway(text, wait)
            case _:
                raise CalendarRefused(text)


def _reason(data: Mapping[str, Any]) -> str:
    """Google's ``error.errors[0].reason`` or Graph's ``error.code``."""
    error = data.get("error")
    if not isinstance(error, dict):
        return ""
    errors = error.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return str(errors[0].get("reason", ""))[:60]
    return str(error.get("code", ""))[:60]
