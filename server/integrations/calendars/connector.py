"""Which kinds of calendar this installation can connect, and how one is opened."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp

from server.base.clock import Clock
from server.integrations.calendars.google import GoogleCalendar, GoogleService, google_service
from server.integrations.calendars.oauth import Grant, Service, authorization_url, exchange
from server.integrations.calendars.protocol import Calendar, Credentials, Keep
from server.settings import Settings

CONNECTIONS = 20  # at a time, to all calendars together


def offered(settings: Settings) -> dict[str, Service]:
    """The OAuth services that are configured, by provider."""
    google = settings.oauth.google
    return {"google": google_service(google)} if google is not None else {}


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens calendars over one HTTP client; see `connector`."""

    http: aiohttp.ClientSession
    clock: Clock
    services: dict[str, Service]

    def authorization_url(self, provider: str, *, redirect_uri: str, state: str, verifier: str) -> str:
        """Raises KeyError for a provider that is not configured."""
        return authorization_url(
            self.services[provider], redirect_uri=redirect_uri, state=state, verifier=verifier
        )

    async def exchange(self, provider: str, *, code: str, verifier: str, redirect_uri: str) -> Grant:
        """See `oauth.exchange`; raises KeyError for a provider that is not configured."""
        return await exchange(
            self.http, self.clock, self.services[provider], code=code, verifier=verifier,
            redirect_uri=redirect_uri,
        )  # fmt: skip

    def open(self, provider: str, credentials: Credentials, keep: Keep) -> Calendar | None:
        """The calendar behind the credentials; None for a provider that is no longer configured."""
        match self.services.get(provider):
            case GoogleService() as service:
                return GoogleCalendar(self.http, self.clock, service, credentials, keep)
            case _:
                return None


@contextlib.asynccontextmanager
async def connector(settings: Settings, clock: Clock) -> AsyncIterator[Connector]:
    """A connector with an HTTP client of its own; every request through it has a timeout of its own."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "Visavis"},
    ) as http:
        yield Connector(http, clock, offered(settings))
