"""What the demo data need to ask the database itself."""

from __future__ import annotations

from server.base.db import Conn


async def lock(conn: Conn) -> None:
    """Two processes that start at once load one after the other: the second finds the first one's people."""
    await conn.execute("SELECT pg_advisory_lock(hashtext('visavis.demo'))", timeout=60)


async def unlock(conn: Conn) -> None:
    await conn.execute("SELECT pg_advisory_unlock(hashtext('visavis.demo'))")


async def empty(conn: Conn) -> bool:
    """Whether nobody has an account yet."""
    found: bool = await conn.fetchval("SELECT NOT EXISTS (SELECT FROM users)")
    return found
