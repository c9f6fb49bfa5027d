"""A browser's half of Web Push, and a push service on loopback that checks everything a real one and a browser would.

Decryption follows RFC 8291 and RFC 8188 step by step, not the library that encrypted.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt
from aiohttp import web as http
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MAX_BODY = 4096  # bytes; what services take (RFC 8030 section 7.2)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=salt, info=info).derive(secret)


def point_of(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser keeps for one subscription."""

    private_key: ec.EllipticCurvePrivateKey
    auth: bytes

    @classmethod
    def new(cls, seed: int = 1) -> Browser:
        return cls(ec.derive_private_key(seed + 10**9, ec.SECP256R1()), bytes([seed % 256]) * 16)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": b64(point_of(self.private_key.public_key())), "auth": b64(self.auth)}

    def decrypt(self, body: bytes) -> bytes:
        """Raises for whatever was not made for this browser."""
        salt, record_size, id_length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + id_length], body[21 + id_length :]
        assert record_size >= len(sealed) > 17, "more than one record"
        shared = self.private_key.exchange(
            ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        )
        mine = point_of(self.private_key.public_key())
        secret = _hkdf(self.auth, shared, b"WebPush: info\x00" + mine + sender, 32)
        key = _hkdf(salt, secret, b"Content-Encoding: aes128gcm\x00", 16)
        nonce = _hkdf(salt, secret, b"Content-Encoding: nonce\x00", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        assert padded[-1:] == b"\x02", "not the last record"
        return padded[:-1]


@dataclass(slots=True)
class PushService:
    """``taken`` is what browsers were shown, with the headers; ``say`` (status, headers) is answered instead."""

    base: str = ""
    key: str | None = None  # the application server key that subscriptions are bound to; None: any
    now: datetime | None = None  # by which signatures are checked
    browsers: dict[str, Browser] = field(default_factory=dict)
    taken: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    say: tuple[int, dict[str, str]] | None = None

    def subscribe(self, name: str = "1") -> str:
        """A subscription as a destination's address holds it."""
        browser = self.browsers.setdefault(name, Browser.new(len(self.browsers) + 1))
        return json.dumps({"endpoint": f"{self.base}/push/{name}", "keys": browser.keys})

    def _signed(self, header: str) -> bool:
        scheme, _, rest = header.partition(" ")
        parts = dict(part.strip().split("=", 1) for part in rest.split(","))
        if scheme != "vapid" or parts.keys() != {"t", "k"} or self.key not in (None, parts["k"]):
            return False
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(parts["k"]))
        try:
            claims = jwt.decode(
                parts["t"], public, ["ES256"], audience=self.base, options={"verify_exp": False}
            )
        except jwt.InvalidTokenError:
            return False
        left = claims["exp"] - (self.now.timestamp() if self.now else claims["exp"] - 1)
        return bool(0 < left <= 86400 and claims["sub"].startswith(("mailto:", "https:")))

    async def push(self, request: http.Request) -> http.StreamResponse:
        self.asked += 1
        if self.say is not None:
            status, headers = self.say
            return http.Response(status=status, headers=headers)
        browser = self.browsers.get(request.match_info["name"])
        if browser is None:
            return http.Response(status=404)
        if not self._signed(request.headers.get("Authorization", "")):
            return http.Response(status=403, text="the VAPID credentials do not correspond")
        if "TTL" not in request.headers or request.headers.get("Content-Encoding") != "aes128gcm":
            return http.Response(status=400)
        body = await request.read()
        if len(body) > MAX_BODY:
            return http.Response(status=413)
        shown = json.loads(browser.decrypt(body))
        wanted = ("TTL", "Urgency", "Topic")
        self.taken.append({**shown, **{name: request.headers[name] for name in wanted}, "size": len(body)})
        return http.Response(status=201, headers={"Location": f"{self.base}/message/{len(self.taken)}"})


@contextlib.asynccontextmanager
async def running_push() -> AsyncIterator[PushService]:
    service = PushService()
    app = http.Application()
    app.router.add_post("/push/{name}", service.push)
    async with TestServer(app) as server:
        service.base = f"http://127.0.0.1:{server.port}"
        yield service
