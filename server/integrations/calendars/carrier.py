"""Carries requests to servers that people name themselves: only where it may, encrypted, bounded, with few redirects.

Who names a server makes ours call it: no address that means this machine, its link, or a cloud's metadata service is
ever dialled, also when a name or a redirect leads there (the check is on what the name resolved to, not on the name).
Addresses of private networks are fine: a school's Nextcloud has one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from server.base.clock import Clock
from server.integrations.calendars.protocol import (
    TIMEOUT,
    CalendarAway,
    CalendarRefused,
    EventChanged,
    EventGone,
    GrantRevoked,
)
from server.integrations.calendars.rest import read_all, retry_after

REDIRECTS: Final = 3  # /.well-known/caldav leads to the service by one, a moved one by another
MOVED: Final = frozenset({301, 302, 307, 308})
# Beyond link-local 169.254.169.254: what clouds answer secrets on (AWS and Google by IPv6, Alibaba, Azure).
METADATA: Final = frozenset(
    ipaddress.ip_address(it) for it in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class AddressForbidden(OSError):
    """The name leads where we do not go."""


class ServerForbidden(CalendarRefused):
    """The URL is none we would call: not encrypted, or at an address we do not dial."""


def forbidden(address: str, *, local: bool) -> bool:
    """Whether we do not dial it. ``local`` allows this machine: on a developer's, and in demo mode."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return forbidden(str(inner), local=local)
    if ip.is_loopback:
        return not local
    return (
        ip in METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified
        or (ip.is_reserved and ip.version == 4)
    )  # fmt: skip


def checked(url: str, *, local: bool) -> str:
    """The URL, if we may call it. Raises `ServerForbidden`; its text is ``bad_url`` or ``address_refused``."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ServerForbidden("bad_url") from None
    if not host or parts.username or parts.scheme not in (("https", "http") if local else ("https",)):
        raise ServerForbidden("bad_url")
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return url  # a name: `GuardedResolver` sees what it leads to
    if forbidden(host, local=local):
        raise ServerForbidden("address_refused")
    return url


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, and drops the addresses we do not dial."""

    def __init__(self, *, local: bool) -> None:
        self._local = local
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        allowed = [it for it in found if not self.refuses(it["host"])]
        if found and not allowed:
            raise AddressForbidden(f"{host} is at an address that is not called")
        return allowed

    def refuses(self, address: str) -> bool:
        return forbidden(address, local=self._local)

    async def close(self) -> None:
        await self._inner.close()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as HTTP libraries shape it; `caldav` reads these names."""

    status_code: int
    reason: str
    headers: Mapping[str, str]
    content: bytes
    url: str  # that answered, after redirects

    @property
    def text(self) -> str:
        return self.content.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Carrier:
    """Sends one person's requests with their name and password (RFC 7617)."""

    http: aiohttp.ClientSession  # whose resolver is a `GuardedResolver`
    clock: Clock
    username: str
    password: str
    local: bool

    async def send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The answer, if it is a good one.

        Raises what `Calendar` names: 401 `GrantRevoked`, 404 and 410 `EventGone`, 412 `EventChanged`.
        """
        for _ in range(REDIRECTS + 1):
            reply = await self._once(method, checked(url, local=self.local), body, headers)
            if reply.status_code not in MOVED:
                return self._judged(reply, method)
            url = urljoin(url, reply.headers.get("Location", ""))
        raise CalendarRefused("the server leads us round in circles")

    async def _once(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        named = {**headers, "Authorization": aiohttp.encode_basic_auth(self.username, self.password)}
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self.http.request(
                    method, url, data=body or None, headers=named, allow_redirects=False
                ) as got,
            ):
                return Reply(got.status, got.reason or "", dict(got.headers), await read_all(got), url)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressForbidden):
                raise ServerForbidden("address_refused") from error
            raise CalendarAway(f"{type(error).__name__}: {method}") from error
        except aiohttp.InvalidURL as error:
            raise ServerForbidden("bad_url") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise CalendarAway(f"{type(error).__name__}: {method}") from error

    def _judged(self, reply: Reply, method: str) -> Reply:
        text = f"the server answers {reply.status_code} to {method}"
        wait = retry_after(reply.headers.get("Retry-After", ""), self.clock.now())
        match reply.status_code:
            case status if 200 <= status < 300:
                return reply
            case 401:
                raise GrantRevoked("the server no longer takes this name and password")
            case 404 | 410:
                raise EventGone(text)
            case 412:
                raise EventChanged(text)
            case status if status >= 500 or status in (408, 423, 425, 429):
                raise CalendarAway(text, wait)
            case _:
                raise CalendarRefused(text)
