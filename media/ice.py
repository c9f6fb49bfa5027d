"""The ICE-lite agent's half of a connectivity check: read a binding request, verify it, write the answer (RFC 8445)."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError

from aioice import stun

from media.rtp import ParseError

_HEAD = Struct("!HHI")
_ATTRIBUTE = Struct("!HH")
_USERNAME = 0x0006
_BINDING_REQUEST = 0x0001
_ALPHABET = string.ascii_letters + string.digits
MAX_CHECK = 548  # a browser's check has about 100 bytes; more than this is somebody wasting our time


@dataclass(frozen=True, slots=True)
class Check:
    """An authenticated connectivity check; `nominated` when it carries USE-CANDIDATE."""

    transaction_id: bytes
    nominated: bool


def make_credentials() -> tuple[str, str]:
    """A fresh (ufrag, password): 48 and 143 bits (RFC 8445 section 5.3 asks for 24 and 128)."""
    return (
        "".join(secrets.choice(_ALPHABET) for _ in range(8)),
        "".join(secrets.choice(_ALPHABET) for _ in range(24)),
    )


def local_ufrag(data: bytes) -> str:
    """Our half of USERNAME, found without parsing or verifying anything else: the cheap first look.

    Raises ParseError: stun_malformed, stun_not_a_check (not a binding request), stun_no_username.
    """
    size = len(data)
    if size < 20 or size > MAX_CHECK or size % 4:
        raise ParseError("stun_malformed")
    message_type, length, cookie = _HEAD.unpack_from(data)
    if cookie != stun.COOKIE or length + 20 != size:
        raise ParseError("stun_malformed")
    if message_type != _BINDING_REQUEST:
        raise ParseError("stun_not_a_check")
    at = 20
    while at + 4 <= size:
        kind, length = _ATTRIBUTE.unpack_from(data, at)
        at += 4
        if at + length > size:
            raise ParseError("stun_malformed")
        if kind == _USERNAME:
            return data[at : at + length].partition(b":")[0].decode("ascii", "replace")
        at += length + 3 & ~3
    raise ParseError("stun_no_username")


def verify(data: bytes, password: str) -> Check:
    """The check, if its MESSAGE-INTEGRITY is made with `password`. Raises ParseError: stun_malformed, stun_integrity.

    Role attributes are not looked at: a lite agent is controlled whatever the client believes, and Chromium, which
    offers, is controlling.
    """
    try:
        message = stun.parse_message(data)
    except (ValueError, StructError, IndexError) as error:
        raise ParseError("stun_malformed") from error
    if not message.check_message_integrity(password.encode()):
        raise ParseError("stun_integrity")
    return Check(message.transaction_id or b"", "USE-CANDIDATE" in message.attributes)


def respond(check: Check, source: tuple[str, int], password: str) -> bytes:
    """The success response: where we saw the request come from, signed (RFC 8445 section 7.3)."""
    message = stun.Message(
        message_method=stun.Method.BINDING,
        message_class=stun.Class.RESPONSE,
        transaction_id=check.transaction_id,
        attributes={"XOR-MAPPED-ADDRESS": source},
    )
    message.add_message_integrity(password.encode())
    return bytes(message)
