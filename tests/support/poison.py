"""One thing that cannot be written, whatever is tried, while everything else can."""

from __future__ import annotations

from uuid import UUID

from server.base.db import Pool


async def poison(pool: Pool, table: str, column: str, value: UUID) -> None:
    """From now on the table takes no row, and no change of one, with that value."""
    name = f"poison_{table}"
    await pool.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.{column} = '{value}' THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$;"
        f"CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )


async def cure(pool: Pool, table: str) -> None:
    await pool.execute(f"DROP TRIGGER poison_{table} ON {table}; DROP FUNCTION poison_{table}()")
