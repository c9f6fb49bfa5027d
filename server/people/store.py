"""Users, mentor profiles and refresh tokens in PostgreSQL, and the locks that put one person's affairs in order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import QUEUE_TIMEOUT, Conn, Row
from server.people.model import MentorProfile, ProfileChange, Role, User

_USER = "id, email, name, role, timezone, created_at"


def _user(row: Row) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        timezone=row["timezone"],
        created_at=row["created_at"],
    )


async def insert_user(conn: Conn, user: User, password_hash: str) -> bool:
    """False when the address is taken (whatever its case)."""
    row = await conn.fetchrow(
        "INSERT INTO users (id, email, password_hash, name, role, timezone, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email) DO NOTHING RETURNING id",
        user.id, user.email, password_hash, user.name, user.role, user.timezone, user.created_at,
    )  # fmt: skip
    return row is not None


async def insert_profile(conn: Conn, mentor_id: UUID) -> None:
    await conn.execute("INSERT INTO mentor_profiles (user_id) VALUES ($1)", mentor_id)


async def user(conn: Conn, user_id: UUID) -> User | None:
    row = await conn.fetchrow(f"SELECT {_USER} FROM users WHERE id = $1", user_id)
    return _user(row) if row else None


async def administrators(conn: Conn) -> list[User]:
    """Those whose account is open."""
    rows = await conn.fetch(
        f"SELECT {_USER} FROM users WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id"
    )
    return [_user(row) for row in rows]


async def users(conn: Conn, people: Iterable[UUID]) -> dict[UUID, User]:
    """Those there are of them, by id."""
    rows = await conn.fetch(f"SELECT {_USER} FROM users WHERE id = ANY ($1::uuid[])", list(people))
    return {row["id"]: _user(row) for row in rows}


async def verify_address(conn: Conn, user_id: UUID, now: datetime) -> None:
    """The mail address is this person's, as of now unless it was known before."""
    await conn.execute(
        "UPDATE users SET email_verified_at = $2 WHERE id = $1 AND email_verified_at IS NULL", user_id, now
    )


async def login(conn: Conn, email: str) -> tuple[User, str] | None:
    """The user of an address and the password's hash; nobody when the account is disabled."""
    row = await conn.fetchrow(
        f"SELECT {_USER}, password_hash FROM users WHERE email = $1 AND disabled_at IS NULL", email
    )
    return (_user(row), row["password_hash"]) if row else None


async def set_password_hash(conn: Conn, user_id: UUID, old: str, new: str) -> None:
    """Replace a hash, unless somebody else did in between."""
    await conn.execute(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2", user_id, old, new
    )


async def update_user(conn: Conn, user_id: UUID, change: ProfileChange) -> None:
    await conn.execute(
        "UPDATE users SET name = coalesce($2, name), timezone = coalesce($3, timezone) WHERE id = $1",
        user_id, change.name, change.timezone,
    )  # fmt: skip


async def update_profile(conn: Conn, mentor_id: UUID, change: ProfileChange) -> None:
    await conn.execute(
        "UPDATE mentor_profiles SET headline = coalesce($2, headline), bio = coalesce($3, bio),"
        " topics = coalesce($4, topics), languages = coalesce($5, languages),"
        " price_tokens = coalesce($6, price_tokens) WHERE user_id = $1",
        mentor_id, change.headline, change.bio, change.topics, change.languages, change.price_tokens,
    )  # fmt: skip


async def profile(conn: Conn, mentor_id: UUID) -> MentorProfile | None:
    row = await conn.fetchrow(
        "SELECT p.user_id, u.name, u.timezone, p.headline, p.bio, p.topics, p.languages, p.price_tokens,"
        " p.published AND u.disabled_at IS NULL AS published"
        " FROM mentor_profiles p JOIN users u ON u.id = p.user_id WHERE p.user_id = $1",
        mentor_id,
    )
    if row is None:
        return None
    return MentorProfile(**{**row, "topics": tuple(row["topics"]), "languages": tuple(row["languages"])})


async def lock_people(conn: Conn, people: Iterable[UUID]) -> None:
    """Let this transaction be the only one that arranges these people's time, until it ends.

    Always in the same order, so that two bookings of the same two people wait for each other instead of deadlocking.
    A collision of two people's 64 bits costs a wait, nothing else.
    """
    for key in sorted({_lock_key(person) for person in people}):
        await conn.execute("SELECT pg_advisory_xact_lock($1)", key, timeout=QUEUE_TIMEOUT)


def _lock_key(person: UUID) -> int:
    return int.from_bytes(person.bytes[:8], signed=True) ^ int.from_bytes(person.bytes[8:], signed=True)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    id: UUID
    user_id: UUID
    family: UUID
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


async def insert_refresh(conn: Conn, token: RefreshToken, token_hash: bytes, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO refresh_tokens (id, user_id, family, token_hash, issued_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        token.id, token.user_id, token.family, token_hash, now, token.expires_at,
    )  # fmt: skip


async def lock_refresh(conn: Conn, token_hash: bytes) -> RefreshToken | None:
    row = await conn.fetchrow(
        "SELECT id, user_id, family, expires_at, used_at, revoked_at FROM refresh_tokens"
        " WHERE token_hash = $1 FOR UPDATE",
        token_hash,
    )
    return RefreshToken(**row) if row else None


async def use_refresh(conn: Conn, token_id: UUID, now: datetime) -> None:
    await conn.execute("UPDATE refresh_tokens SET used_at = $2 WHERE id = $1", token_id, now)


async def revoke_family(conn: Conn, family: UUID, now: datetime) -> None:
    await conn.execute(
        "UPDATE refresh_tokens SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL", family, now
    )


async def enabled(conn: Conn, user_id: UUID) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM users WHERE id = $1 AND disabled_at IS NULL)", user_id
    )
    return found
