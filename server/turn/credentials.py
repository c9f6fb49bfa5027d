"""Time-limited TURN credentials in the form coturn calls its REST API (draft-uberti-behave-turn-rest)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime

from server.settings import Turn


@dataclass(frozen=True, slots=True)
class IceServer:
    """What a browser calls RTCIceServer; STUN needs no credentials."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = field(default="", repr=False)

    def as_json(self) -> dict[str, str | list[str]]:
        """Without credentials where there are none: a browser would take null for the name "null"."""
        shown: dict[str, str | list[str]] = {"urls": list(self.urls)}
        if self.username:
            shown |= {"username": self.username, "credential": self.credential}
        return shown

    def as_links(self) -> tuple[str, ...]:
        """One Link header value for each URL (RFC 9725 section 4.6, RFC 8288)."""
        secret = (
            f'; username="{self.username}"; credential="{self.credential}"; credential-type="password"'
            if self.username
            else ""
        )
        return tuple(f'<{url}>; rel="ice-server"{secret}' for url in self.urls)


def ice_servers(turn: Turn | None, user: str, now: datetime) -> tuple[IceServer, ...]:
    """What ``user`` is told now; asked again, the credentials are good for another ``turn.ttl_seconds``.

    The TURN server believes a name that begins with an expiry it has not reached (unix seconds) and whose password
    is the HMAC-SHA1 of the name under the shared secret: it needs no list of users, and we no account there.
    """
    if turn is None:
        return ()
    servers: list[IceServer] = []
    if stun := tuple(url for url in turn.urls if url.startswith("stun")):
        servers.append(IceServer(stun))
    if relays := tuple(url for url in turn.urls if url.startswith("turn")):
        username = f"{int(now.timestamp()) + turn.ttl_seconds}:{user}"
        digest = hmac.digest(turn.secret.encode(), username.encode(), hashlib.sha1)
        servers.append(IceServer(relays, username, base64.b64encode(digest).decode()))
    return tuple(servers)
