"""SQL of the embedded PostgreSQL: its role and its database."""

import asyncpg


async def ensure_role(conn: asyncpg.Connection, name: str, password: str) -> None:
    """Make the role, or give it this password. It may log in and create databases, nothing more."""
    exists = await conn.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
    verb = "ALTER" if exists else "CREATE"
    # Utility statements take no parameters: the server quotes them for us.
    statement = await conn.fetchval(
        f"SELECT format('{verb} ROLE %I LOGIN CREATEDB PASSWORD %L', $1::text, $2::text)", name, password
    )
    await conn.execute(statement)


async def ensure_database(conn: asyncpg.Connection, name: str, owner: str) -> bool:
    """Make the database if it is missing; True when it was made."""
    if await conn.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
        return False
    statement = await conn.fetchval(
        "SELECT format('CREATE DATABASE %I OWNER %I', $1::text, $2::text)", name, owner
    )
    await conn.execute(statement)
    return True
