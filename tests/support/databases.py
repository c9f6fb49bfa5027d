"""Databases for tests: made from a template once, then emptied and used again.

Copying the template's files (the strategy for servers where nothing is durable) costs some 0.05 s of a processor, a
third of copying it through the log; emptying what a test has left costs a few milliseconds. One whose schema a test has
changed is dropped.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import asyncpg

# A change to tables, columns, indexes, functions, triggers or constraints shows in one of these.
_SHAPE = """SELECT array[
    (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    (SELECT max(oid::bigint) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    (SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
     WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped),
    (SELECT max(oid::bigint) FROM pg_proc), (SELECT max(oid::bigint) FROM pg_trigger),
    (SELECT count(*) FROM pg_trigger), (SELECT max(oid::bigint) FROM pg_constraint),
    (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM schema_migrations)]::bigint[]"""

_END_OTHERS = """SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""

# Foreign keys and append-only triggers are for the product. A small table is emptied faster by DELETE, which makes no
# file; what it leaves behind is swept away by TRUNCATE once it has grown.
_EMPTY = """DO $$
DECLARE it record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR it IN SELECT oid::regclass AS name, pg_relation_size(oid) AS size FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'schema_migrations'
        AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format(CASE WHEN it.size > 262144 THEN 'TRUNCATE %s CASCADE' ELSE 'DELETE FROM %s' END, it.name);
    END LOOP;
    FOR it IN SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences WHERE last_value IS NOT NULL
    LOOP
        EXECUTE format('ALTER SEQUENCE %s RESTART', it.name);
    END LOOP;
END $$"""


@dataclass(slots=True)
class Databases:
    """``superuser_url`` names the database ``postgres``; what is handed out belongs to the application's role."""

    superuser_url: str
    template: str
    _idle: list[tuple[str, list[int]]] = field(default_factory=list)
    _lent: dict[str, list[int]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def take(self) -> str:
        """The name of a migrated, empty database."""
        if self._idle:
            name, shape = self._idle.pop()
        else:
            name = f"test_{next(self._numbers)}"
            await self._say(
                "postgres",
                f"CREATE DATABASE {name} OWNER visavis TEMPLATE {self.template} STRATEGY FILE_COPY",
            )
            shape = await self._shape(name)
        self._lent[name] = shape
        return name

    async def give_back(self, name: str) -> None:
        """Ends its connections and empties it; nothing of the test remains."""
        shape = self._lent.pop(name)
        conn = await asyncpg.connect(self._url(name))
        try:
            left = await conn.fetchval(_END_OTHERS)
            if left == 0 and await conn.fetchval(_SHAPE) == shape:
                await conn.execute(_EMPTY)
                self._idle.append((name, shape))
                return
        finally:
            await conn.close()
        await self._say("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    async def _shape(self, name: str) -> list[int]:
        conn = await asyncpg.connect(self._url(name))
        try:
            shape: list[int] = await conn.fetchval(_SHAPE)
            return shape
        finally:
            await conn.close()

    async def _say(self, database: str, statement: str) -> None:
        conn = await asyncpg.connect(self._url(database))
        try:
            await conn.execute(statement)
        finally:
            await conn.close()

    def _url(self, name: str) -> str:
        return self.superuser_url.replace("/postgres?", f"/{name}?")
