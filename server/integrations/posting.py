"""One POST to a provider: bounded in time and size, every failure of the network the same one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver

from server.integrations.channel import Deferred, NotSent, Refused, Unavailable

TIMEOUT: Final = aiohttp.ClientTimeout(total=10, connect=5)  # seconds, as long as a mail server gets
MAX_ANSWER: Final = 64 * 1024  # bytes; theirs have a few hundred


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` is the JSON object of the body, empty for anything else."""

    status: int
    text: str
    data: Mapping[str, Any]
    retry_after: timedelta | None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def failure(self, text: str) -> NotSent:
        """What the status alone says: too much, down, or a stranger (nothing passes); else never this message."""
        said = f"{self.status}: {text}"[:500]
        if self.status in (401, 403, 404, 410, 429) or self.status >= 500 or 300 <= self.status < 400:
            return Unavailable(said, self.retry_after)
        return Deferred(said, self.retry_after) if self.status in (408, 409, 425) else Refused(said)


async def post(
    url: str,
    now: datetime,
    *,
    json_body: Mapping[str, Any] | None = None,
    form: Mapping[str, str] | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    resolver: AbstractResolver | None = None,
) -> Answer:
    """Post and read the answer to its end. Raises ``Unavailable`` when there is none in time. ``resolver`` is for
    addresses that people name themselves.

    A conversation for each message: no connection to keep alive, none to find half dead.
    """
    try:
        async with (
            aiohttp.ClientSession(
                timeout=TIMEOUT, connector=aiohttp.TCPConnector(resolver=resolver)
            ) as client,
            client.post(
                url,
                json=json_body,
                data=form if body is None else body,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            said = await response.content.read(MAX_ANSWER)
            wish = retry_after(response.headers.get("Retry-After", ""), now)
            return _answer(response.status, said.decode(errors="replace"), wish)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not its text: it quotes the URL, which may be the secret.
        raise Unavailable(f"no answer: {type(error).__name__}") from error


def retry_after(text: str, now: datetime) -> timedelta | None:
    """Retry-After (RFC 9110 section 10.2.3): seconds, or a date; None for neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 86400))
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(timedelta(0), when.replace(tzinfo=when.tzinfo or UTC) - now)


def _answer(status: int, text: str, wish: timedelta | None) -> Answer:
    try:
        data = json.loads(text)
    except ValueError:
        data = {}
    return Answer(status, text, data if isinstance(data, dict) else {}, wish)
