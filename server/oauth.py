"""What we are called at the OAuth services that hold people's calendars, as the settings say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from server.providers import Reader, together, url

# A directory's GUID or domain, or one of Microsoft's three words for "any of these".
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)
TENANT: Final = "common"


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """What we are called at a service that holds people's calendars; ``base_url`` stands for all its addresses."""

    client_id: str
    client_secret: str = field(repr=False)
    base_url: str | None  # None: the service's own
    tenant: str = TENANT  # Microsoft's: whose accounts may connect


@dataclass(frozen=True, slots=True)
class OAuthClients:
    """What is configured; None: nobody can connect a calendar of that kind."""

    google: OAuthClient | None = None
    microsoft: OAuthClient | None = None


def read_clients(reader: Reader) -> OAuthClients:
    """All that are given, with a fault for everything missing or malformed."""
    return OAuthClients(_client(reader, "GOOGLE"), _client(reader, "MICROSOFT", _tenant(reader)))


def _client(reader: Reader, service: str, tenant: str = TENANT) -> OAuthClient | None:
    names = (f"VISAVIS_{service}_CLIENT_ID", f"VISAVIS_{service}_CLIENT_SECRET")
    base, given = url(reader, f"VISAVIS_{service}_URL"), together(reader, *names)
    return None if given is None else OAuthClient(given[names[0]], given[names[1]], base, tenant)


def _tenant(reader: Reader) -> str:
    tenant = reader.text("VISAVIS_MICROSOFT_TENANT") or TENANT
    if not _TENANT.fullmatch(tenant):
        reader.fault(
            "VISAVIS_MICROSOFT_TENANT",
            f"{tenant!r} is not a directory's id or domain, nor common, organizations or consumers",
        )
    return tenant
