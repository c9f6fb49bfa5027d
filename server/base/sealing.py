"""Seals what must not lie readable in the database: AES-256-GCM with keys derived from the installation's secret."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = b"\x01"  # of the format: version, nonce, ciphertext with its tag
NONCE = 12  # bytes (NIST SP 800-38D section 8.2.2: random ones are good for 2^32 values under a key)


class SealBroken(Exception):
    """Not sealed by us, for something else, or with another VISAVIS_SECRET_KEY."""


def seal(secret_key: str, purpose: str, subject: bytes, text: str) -> bytes:
    """``text`` for this ``purpose`` (a key each, RFC 5869) and this ``subject`` only: a sealed value that is copied to
    another row does not open there."""
    nonce = os.urandom(NONCE)
    return VERSION + nonce + AESGCM(_key(secret_key, purpose)).encrypt(nonce, text.encode(), subject)


def unseal(secret_key: str, purpose: str, subject: bytes, sealed: bytes) -> str:
    """The inverse. Raises `SealBroken`."""
    if not sealed.startswith(VERSION) or len(sealed) < len(VERSION) + NONCE + 16:
        raise SealBroken("not a sealed value")
    nonce, rest = sealed[1 : 1 + NONCE], sealed[1 + NONCE :]
    try:
        return AESGCM(_key(secret_key, purpose)).decrypt(nonce, rest, subject).decode()
    except InvalidTag as error:
        raise SealBroken("sealed with another key, or for something else") from error


def _key(secret_key: str, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"visavis seal " + purpose.encode()).derive(secret_key.encode())
