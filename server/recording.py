"""Fetches the flight recording of a session from the web process of this machine, for `visavis trace --media`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import aiohttp

from server.base.errors import NotFound, Unavailable
from server.people.tokens import operator_token
from server.settings import Settings

SECONDS = 10.0  # the web process needs about a third of one for a full recorder
MAX_BYTES = 256 * 1024 * 1024  # many times what a recorder holds
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


async def fetch(settings: Settings, session_id: UUID, now: datetime) -> bytes:
    """What the web process that these settings run has recorded of the session's media.

    Raises ``NotFound("nothing_recorded")``, and ``Unavailable("web_unreachable")`` without an answer.
    """
    scheme = "https" if settings.tls_certificate else "http"
    host = _HERE.get(settings.host, settings.host)
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}/api/v1/sessions/{session_id}/media"
    headers = {"Authorization": f"Bearer {operator_token(settings, now)}"}
    try:
        async with (
            aiohttp.ClientSession(
                # The certificate is for the public name; this is the address the process itself listens on.
                connector=aiohttp.TCPConnector(ssl=False),
                timeout=aiohttp.ClientTimeout(total=SECONDS),
                headers=headers,
            ) as client,
            client.get(url, allow_redirects=False) as response,
        ):
            if response.status == 404:
                raise NotFound(
                    "nothing_recorded",
                    "The media server has not seen this session since it started, or long ago.",
                )
            response.raise_for_status()
            return await response.content.read(MAX_BYTES)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(
            "web_unreachable", f"No recording from the web process at {url}: {error or 'it takes too long'}."
        ) from error
