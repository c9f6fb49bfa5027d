"""Password hashing: argon2id with OWASP's parameters, in a thread, since one hash takes some 30 ms of CPU."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's first choice for argon2id.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

# The hash of a password nobody has, made with the parameters above: an unknown address must cost as much time.
_NOBODYS = "$argon2id$v=19$m=19456,t=2,p=1$zA6W8bkcy4/ytZgsl7KKKA$RjB7sjxOfe79YrpGSbCZsiTi6qWJmyvn3RiH7zDpT6k"


async def hash_password(password: str) -> str:
    """The PHC string to store."""
    return await asyncio.to_thread(_HASHER.hash, password)


async def password_fits(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; ``None`` is nobody's, takes as long, and never fits."""
    return await asyncio.to_thread(_verify, stored, password)


def outdated(stored: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(stored)


def _verify(stored: str | None, password: str) -> bool:
    try:
        return _HASHER.verify(stored or _NOBODYS, password) and stored is not None
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
