"""Which kinds of calendar this installation can connect, and how one is opened."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import aiohttp

from server.base.clock import Clock
from server.integrations.calendars.carrier import GuardedResolver, checked
from server.integrations.calendars.dav import DavCalendar
from server.integrations.calendars.google import GoogleCalendar, GoogleService, google_service
from server.integrations.calendars.graph import GraphCalendar, GraphService, graph_service
from server.integrations.calendars.oauth import Grant, Service, authorization_url, exchange
from server.integrations.calendars.protocol import Calendar, Credentials, Keep
from server.settings import Settings

CONNECTIONS = 20  # at a time, to all calendars together


def offered(settings: Settings) -> dict[str, Service]:
    """The OAuth services that are configured, by provider."""
    found: dict[str, Service] = {}
    if (google := settings.oauth.google) is not None:
        found["google"] = google_service(google)
    if (microsoft := settings.oauth.microsoft) is not None:
        found["microsoft"] = graph_service(microsoft)
    return found


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens calendars over two HTTP clients; see `connector`."""

    http: aiohttp.ClientSession  # to the services that are configured
    guarded: aiohttp.ClientSession  # to servers that people name
    clock: Clock
    services: dict[str, Service]
    local: bool  # people may name servers on this machine

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

    async def discover(self, url: str, username: str, password: str, write_to: str = "") -> Credentials:
        """What opens the CalDAV calendars of an account; see `DavCalendar.discover`."""
        checked(url, local=self.local)
        known = Credentials(url=url, username=username, password=password, write_to=write_to)
        return await self._dav(known, ZoneInfo("UTC")).discover()

    def open(self, provider: str, credentials: Credentials, keep: Keep, zone: ZoneInfo) -> Calendar | None:
        """The calendar behind the credentials; None for a provider that is no longer configured. ``zone`` is its
        owner's: of whole days and of times that name none."""
        if provider == "caldav":
            return self._dav(credentials, zone)
        match self.services.get(provider):
            case GoogleService() as service:
                return GoogleCalendar(self.http, self.clock, service, credentials, keep)
            case GraphService() as service:
                return GraphCalendar(self.http, self.clock, service, credentials, keep, zone)
            case _:
                return None

    def _dav(self, credentials: Credentials, zone: ZoneInfo) -> DavCalendar:
        return DavCalendar(self.guarded, self.clock, credentials, zone, local=self.local)


@contextlib.asynccontextmanager
async def connector(settings: Settings, clock: Clock) -> AsyncIterator[Connector]:
    """A connector with HTTP clients of its own; every request through it has a timeout of its own."""
    # On a developer's machine, and where everything is made up, servers on the machine itself are fine.
    local = settings.demo or urlsplit(settings.public_url).hostname in ("127.0.0.1", "::1", "localhost")
    resolver = GuardedResolver(local=local)
    async with (
        _client(aiohttp.TCPConnector(limit=CONNECTIONS)) as http,
        _client(aiohttp.TCPConnector(limit=CONNECTIONS, resolver=resolver)) as guarded,
    ):
        yield Connector(http, guarded, clock, offered(settings), local)


def _client(connections: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connections, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "Visavis"}
    )
