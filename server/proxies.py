"""Whose word about a caller's address counts: X-Forwarded-For, read from the right past the proxies that are ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_MOST = 50  # addresses of one header that are looked at; a chain of ours is never that long


def networks(text: str) -> tuple[Network, ...]:
    """Comma-separated CIDR blocks or single addresses. Raises ``ValueError``."""
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise ValueError(f"{error}: list networks such as 10.0.0.0/8, 127.0.0.1") from None


def caller(socket: str | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address of whoever called. ``socket`` is the peer's, ``forwarded`` the X-Forwarded-For headers in order.

    Each proxy appends whom it heard from, so only what stands right of the first address that is no proxy of ours was
    written by one; everything left of it may be invented. A peer that is no proxy of ours is believed nothing.
    """
    at = _address(socket or "")
    if at is None or not _is_ours(at, trusted):
        return socket or "unknown"
    chain = [part for header in forwarded for part in header.split(",")]
    for text in reversed(chain[-_MOST:]):
        said = _address(text)
        if said is None:
            break  # not an address: whoever wrote it is the last one we know
        at = said
        if not _is_ours(at, trusted):
            break
    return str(at)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _is_ours(at: ipaddress.IPv4Address | ipaddress.IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(at.version == each.version and at in each for each in trusted)
