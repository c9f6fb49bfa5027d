"""SQL of the migration runner: its lock and its record."""

from server.base.db import Conn

# Any constant will do, as long as nobody else locks it: "visavis" in ASCII.
_LOCK = int.from_bytes(b"visavis")


async def lock(conn: Conn) -> None:
    """Wait for the migration lock; held by the connection's session until `unlock` or its end."""
    await conn.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=None)


async def unlock(conn: Conn) -> None:
    await conn.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def make_record(conn: Conn) -> None:
    await conn.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " name text PRIMARY KEY,"
        " checksum text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


async def applied(conn: Conn) -> dict[str, str]:
    """Checksums by name of the migrations applied; empty in a database that never saw one."""
    if await conn.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    rows = await conn.fetch("SELECT name, checksum FROM schema_migrations")
    return {row["name"]: row["checksum"] for row in rows}


async def record(conn: Conn, name: str, checksum: str) -> None:
    await conn.execute("INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", name, checksum)
