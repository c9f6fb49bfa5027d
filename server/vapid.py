"""What the settings say about Web Push: the key pair that push services know us by (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.private import kept_text
from server.providers import Reader

FILE: Final = "vapid.key"  # in the data directory
_PRIVATE: Final = re.compile(r"[A-Za-z0-9_-]{43}=?", re.ASCII)  # 32 bytes in base64url
_SUBJECT: Final = re.compile(r"mailto:[^@\s]+@[^@\s]+|https://[^/\s]+")


@dataclass(frozen=True, slots=True)
class Vapid:
    """Both keys in base64url without padding. Subscriptions are bound to the public one: another pair ends them all."""

    private_key: str = field(repr=False)
    public_key: str
    subject: (
        str | None
    )  # mailto: or https: of whom a push service may complain to; None: the installation's own


def read_vapid(reader: Reader, data_dir: Path, *, embedded: bool, make: bool) -> Vapid | None:
    """The given key, or, with an embedded database, the one kept in the data directory (made there when ``make``).

    None without either: then nobody can be reached by push.
    """
    subject = reader.text("VISAVIS_VAPID_SUBJECT")
    if subject is not None and not _SUBJECT.fullmatch(subject):
        reader.fault(
            "VISAVIS_VAPID_SUBJECT", f"{subject!r} is neither mailto:you@example.org nor https://host"
        )
    given = reader.text("VISAVIS_VAPID_PRIVATE_KEY")
    if given is None and not (embedded and make):
        return None
    try:
        private_key = (given or kept_text(data_dir / FILE, make_key)).rstrip("=")
        return Vapid(private_key, public_key_of(private_key), subject)
    except OSError as error:
        reader.fault("VISAVIS_VAPID_PRIVATE_KEY", f"cannot be kept in {data_dir / FILE}: {error.strerror}")
    except ValueError:
        kept = (
            ""
            if given
            else f" in {data_dir / FILE} (without the file another is made; browsers subscribe anew)"
        )
        reader.fault(
            "VISAVIS_VAPID_PRIVATE_KEY",
            f"is not a P-256 private key{kept}: 32 bytes in base64url, as `vapid` or `web-push generate-vapid-keys`"
            " make them",
        )
    return None


def make_key() -> str:
    """A new private key."""
    number = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def public_key_of(private_key: str) -> str:
    """The uncompressed point, as browsers take it. Raises ``ValueError`` for what is no private key."""
    if not _PRIVATE.fullmatch(private_key):
        raise ValueError("not 32 bytes in base64url")
    number = int.from_bytes(base64.urlsafe_b64decode(private_key[:43] + "="), "big")
    key = ec.derive_private_key(number, ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
