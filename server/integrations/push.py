"""Web Push (RFC 8030): encrypted for one browser (RFC 8291), signed by us (RFC 8292), posted to its vendor."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any, Final
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from server.integrations.calendars.carrier import GuardedResolver, forbidden
from server.integrations.channel import (
    Deferred,
    Dials,
    Form,
    Message,
    Rate,
    Refused,
    Traits,
    Unavailable,
    Unreachable,
)
from server.integrations.posting import post
from server.integrations.provider import Breaker
from server.settings import Settings
from server.vapid import Vapid

TRAITS: Final = Traits("Browser", Form.SHORT, Dials.DEVICE, disturbs=True)
RATE: Final = Rate(per_second=50, burst=100)  # no service publishes a limit; each tells its own by 429
SIGNED_FOR: Final = timedelta(hours=12)  # RFC 8292 section 2 allows 24; clocks differ
DEFAULT_TTL: Final = timedelta(days=1)  # a browser that was off longer finds it in the inbox
LONGEST_TTL: Final = timedelta(days=28)  # what the services keep a message for at most
PRESSING: Final = timedelta(
    hours=1
)  # what is useless so soon may wake a sleeping device (RFC 8030 section 5.3)
# Bytes of plain text: a record of 4,096 with its header of 86, a tag of 16 and a delimiter of 1 (RFC 8291 section 4).
MAX_PLAIN: Final = 3993
MAX_ENDPOINT: Final = 1500  # characters; the longest that are seen have about 700
MAX_HOSTS: Final = 200  # push services remembered; there are four that matter


class BadSubscription(ValueError):
    """Not a subscription we could write to; ``field`` and the sentence say why."""

    def __init__(self, field: str, code: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a browser hands out (PushSubscription.toJSON): where to post, its public key, and a shared secret."""

    endpoint: str
    p256dh: str
    auth: str

    @property
    def address(self) -> str:
        """As it is kept in a destination."""
        keys = {"p256dh": self.p256dh, "auth": self.auth}
        return json.dumps({"endpoint": self.endpoint, "keys": keys}, separators=(",", ":"))

    @property
    def origin(self) -> str:
        parts = urlsplit(self.endpoint)
        return f"{parts.scheme}://{parts.netloc}"

    def faults(self, *, local: bool) -> list[BadSubscription]:
        """All that is wrong with it. ``local``: services on this machine are fine, on a developer's."""
        found = [_endpoint_fault(self.endpoint, local=local)]
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(self.p256dh, 65))
        except ValueError:
            found.append(BadSubscription("keys.p256dh", "bad_key", "This is not a P-256 public key."))
        try:
            _bytes(self.auth, 16)
        except ValueError:
            found.append(BadSubscription("keys.auth", "bad_key", "This is not a secret of 16 bytes."))
        return [fault for fault in found if fault is not None]


def is_local(settings: Settings) -> bool:
    """Whether push services on this machine may be called: on a developer's, and where everything is made up."""
    return settings.demo or urlsplit(settings.public_url).hostname in ("127.0.0.1", "::1", "localhost")


def read_address(address: str) -> Subscription:
    """The inverse of ``Subscription.address``. Raises ``ValueError``."""
    match json.loads(address):
        case {"endpoint": str(endpoint), "keys": {"p256dh": str(p256dh), "auth": str(auth)}}:
            return Subscription(endpoint, p256dh, auth)
    raise ValueError("not a subscription")


class WebPush:
    """Posts to whatever service a browser's vendor runs. Each host has a breaker of its own: what one of them does not
    take now waits (`Deferred`), and the others' messages pass."""

    def __init__(self, vapid: Vapid, subject: str, *, local: bool) -> None:
        self._vapid = vapid
        self._signer: Vapid02 | None = (
            None  # made for the first message: whoever only asks whether we can, need not wait
        )
        self._subject = subject
        self._local = local
        self._breakers: OrderedDict[str, Breaker] = OrderedDict()  # by origin, the one used last at the end

    @property
    def rate(self) -> Rate:
        return RATE

    async def send(self, message: Message) -> str:
        """Our own id for the message: services name theirs, and tell nothing of them later."""
        now = message.date
        try:
            to = read_address(message.to)
        except ValueError as error:
            raise Unreachable("not a subscription") from error
        if faults := to.faults(local=self._local):
            raise Unreachable(str(faults[0]))
        breaker = self._breakers.get(to.origin, Breaker())
        if not breaker.allows(now) and breaker.open_until is not None:
            raise Deferred("this push service is left alone for a while", breaker.open_until - now)
        body = encrypted(to, payload(message))
        try:
            answer = await post(
                to.endpoint, now, body=body, headers=self._headers(to, message),
                resolver=PublicResolver(local=self._local),
            )  # fmt: skip
        except Unavailable as error:
            self._remember(to.origin, breaker.failed(now, error.retry_after))
            raise Deferred(str(error), error.retry_after) from error
        said = f"{answer.status}: {' '.join(answer.text.split())[:200]}"
        if answer.status == 429 or answer.status >= 500 or 300 <= answer.status < 400:
            self._remember(to.origin, breaker.failed(now, answer.retry_after))
            raise Deferred(said, answer.retry_after)
        self._remember(to.origin, breaker.succeeded())
        if answer.ok:
            return str(message.id)
        if answer.status in (404, 410):
            raise Unreachable(said)
        if answer.status in (401, 403, 408, 409, 425):
            # 401 and 403: this subscription was made for another key of ours, or a clock is wrong.
            raise Deferred(said, answer.retry_after)
        raise Refused(said)

    def _headers(self, to: Subscription, message: Message) -> dict[str, str]:
        now = message.date
        left = message.expires_at - now if message.expires_at is not None else DEFAULT_TTL
        ttl = max(timedelta(0), min(left, LONGEST_TTL))
        pressing = message.expires_at is not None and left <= PRESSING
        claims = {"aud": to.origin, "sub": self._subject, "exp": int((now + SIGNED_FOR).timestamp())}
        return {
            **self._signed(claims),
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(int(ttl.total_seconds())),
            "Urgency": "high" if pressing else "normal",
            # One message is one topic: a repetition takes the place of what still waits there (RFC 8030 section 5.4).
            "Topic": base64.urlsafe_b64encode(message.id.bytes).rstrip(b"=").decode(),
        }

    def _signed(self, claims: dict[str, Any]) -> dict[str, str]:
        if self._signer is None:
            self._signer = Vapid02.from_raw(self._vapid.private_key.encode())
        header: dict[str, str] = self._signer.sign(claims)
        return header

    def _remember(self, origin: str, breaker: Breaker) -> None:
        """Anybody may name a host, so only the last MAX_HOSTS are remembered."""
        self._breakers[origin] = breaker
        self._breakers.move_to_end(origin)
        while len(self._breakers) > MAX_HOSTS:
            self._breakers.popitem(last=False)


class PublicResolver(GuardedResolver):
    """Push services are on the public internet: beside what is never dialled, no private network is either."""

    def refuses(self, address: str) -> bool:
        return private(address, local=self._local)


def private(address: str, *, local: bool) -> bool:
    """Whether no push service can be there."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return not local
    return forbidden(address, local=local) or not ip.is_global


def payload(message: Message) -> bytes:
    """What static/js/sw.js shows: title, text, where a click leads, and a tag by which a repetition replaces itself."""

    def packed(text: str) -> bytes:
        told: dict[str, Any] = {
            "title": message.subject[:200],
            "body": text,
            "url": message.url,
            "tag": str(message.id),
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()

    text = message.text.replace(message.url, "").strip() if message.url else message.text.strip()
    text = text[:1000]
    while len(packed(text)) > MAX_PLAIN and text:
        text = text[: len(text) * 3 // 4]
    return packed(text)


def encrypted(to: Subscription, plain: bytes) -> bytes:
    """For this browser only: a fresh key pair and salt for each message (RFC 8291)."""
    body: bytes = http_ece.encrypt(
        plain,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=_bytes(to.p256dh, 65),
        auth_secret=_bytes(to.auth, 16),
        version="aes128gcm",
    )
    return body


def _endpoint_fault(endpoint: str, *, local: bool) -> BadSubscription | None:
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    here = local and host in ("127.0.0.1", "::1", "localhost")
    good = parts.scheme == "https" or (here and parts.scheme == "http")
    if not host or not good or parts.username or len(endpoint) > MAX_ENDPOINT or not endpoint.isascii():
        return BadSubscription("endpoint", "bad_url", "This is not the https address of a push service.")
    try:
        refused = private(host, local=local)
    except ValueError:
        refused = False  # a name: `PublicResolver` sees what it leads to
    if refused:
        return BadSubscription("endpoint", "address_refused", "No push service is at this address.")
    return None


def _bytes(text: str, size: int) -> bytes:
    """base64url, padded or not, of exactly ``size`` bytes. Raises ``ValueError``."""
    try:
        found = base64.b64decode(
            text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("not base64url") from error
    if len(found) != size:
        raise ValueError(f"not {size} bytes")
    return found


def subject_of(settings: Settings) -> str:
    """Whom a push service may complain to: what is set, else the place's own address or its mail's."""
    if settings.vapid is not None and settings.vapid.subject is not None:
        return settings.vapid.subject
    parts = urlsplit(settings.public_url)
    if parts.scheme == "https" and parts.hostname and "." in parts.hostname:
        return f"https://{parts.hostname}"
    return f"mailto:{parseaddr(settings.mail_from)[1]}"


def channel(settings: Settings) -> WebPush | None:
    """Web Push where there is a key: VISAVIS_VAPID_PRIVATE_KEY, or the one an embedded installation keeps."""
    if settings.vapid is None:
        return None
    return WebPush(settings.vapid, subject_of(settings), local=is_local(settings))
