"""The schema: forwards only, once, under a lock, and the same however a database came to it."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from server.migrations import MigrationError, migrate, pending, runner
from tests.conftest import MakeDatabase
from tests.support.schema import describe

FILES = [file.name for file in runner.load()]


def folder_of(tmp_path: Path, files: dict[str, str]) -> Path:
    folder = tmp_path / "migrations"
    folder.mkdir(exist_ok=True)
    for name, sql in files.items():
        (folder / name).write_text(sql)
    return folder


_built: list[Any] = []


async def built_at_once(make_empty_database: MakeDatabase) -> Any:
    """What a new database gets: all files in one go. Looked at once, since it takes half a second."""
    if not _built:
        conn = await asyncpg.connect(await make_empty_database())
        try:
            assert await migrate(conn) == FILES
            _built.append(await describe(conn))
        finally:
            await conn.close()
    return _built[0]


@pytest.mark.parametrize("known", range(len(FILES)))
async def test_every_earlier_release_migrates_to_what_a_new_database_gets(
    empty_database_url: str, make_empty_database: MakeDatabase, tmp_path: Path, known: int
) -> None:
    """`known` files were applied by an earlier release, one process each; `known` 0 is a database built at once."""
    earlier = await asyncpg.connect(empty_database_url)
    try:
        for count in range(1, known + 1):
            release = tmp_path / str(count)
            release.mkdir()
            for name in FILES[:count]:
                shutil.copy(runner.FOLDER / name, release)
            assert await migrate(earlier, release) == [FILES[count - 1]]
        assert await migrate(earlier) == FILES[known:]
        assert await describe(earlier) == await built_at_once(make_empty_database)
    finally:
        await earlier.close()


async def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    conn = await asyncpg.connect(empty_database_url)
    try:
        assert await pending(conn) == FILES
        assert await migrate(conn) == FILES
        before = await describe(conn)
        assert (await pending(conn), await migrate(conn)) == ([], [])
        assert await describe(conn) == before
    finally:
        await conn.close()


async def test_asking_what_is_pending_changes_nothing(empty_database_url: str) -> None:
    conn = await asyncpg.connect(empty_database_url)
    try:
        before = await describe(conn)
        await pending(conn)
        assert await describe(conn) == before
    finally:
        await conn.close()


async def test_of_two_migrators_one_applies_and_the_other_waits(empty_database_url: str) -> None:
    one, two = await asyncpg.connect(empty_database_url), await asyncpg.connect(empty_database_url)
    try:
        assert sorted(await asyncio.gather(migrate(one), migrate(two))) == [[], FILES]
    finally:
        await one.close()
        await two.close()


@pytest.mark.parametrize(
    "change",
    [
        "CREATE INDEX another ON things (name)",
        "ALTER TABLE things ALTER name SET DEFAULT 'x'",
        "ALTER TABLE things ALTER name DROP NOT NULL",
        "ALTER TABLE things ADD CHECK (id > 0)",
        "ALTER TABLE things DROP CONSTRAINT things_pkey",
        "ALTER TYPE colour ADD VALUE 'blue'",
        "CREATE EXTENSION pg_trgm",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE VIEW names AS SELECT name FROM things",
        "COMMENT ON TABLE things IS 'said'",
        "ALTER TABLE things RENAME name TO title",
        "GRANT SELECT ON things TO public",
    ],
)
async def test_the_comparison_sees(empty_database_url: str, change: str) -> None:
    conn = await asyncpg.connect(empty_database_url)
    try:
        await conn.execute("CREATE TYPE colour AS ENUM ('red')")
        await conn.execute("CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL, colour colour)")
        before = await describe(conn)
        await conn.execute(change)
        assert await describe(conn) != before
    finally:
        await conn.close()


async def test_a_failing_migration_leaves_nothing_of_itself(empty_database_url: str, tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        {
            "0001_good.sql": "CREATE TABLE good ();",
            "0002_bad.sql": "CREATE TABLE half (); SELECT 1/0;",
            "0003_later.sql": "CREATE TABLE later ();",
        },
    )
    conn = await asyncpg.connect(empty_database_url)
    try:
        with pytest.raises(runner.MigrationFailed, match=r"0002_bad\.sql .*division by zero"):
            await migrate(conn, folder)
        tables = {row[0] for row in await conn.fetch("SELECT relname FROM pg_class WHERE relkind = 'r'")}
        assert tables & {"good", "half", "later"} == {"good"}
        (folder / "0002_bad.sql").write_text("CREATE TABLE half ();")
        assert await migrate(conn, folder) == ["0002_bad.sql", "0003_later.sql"]
    finally:
        await conn.close()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"0001_a.sql": "SELECT 2;", "0002_b.sql": "SELECT 1;"}, "migration_changed"),
        ({"0001_a.sql": "SELECT 1;"}, "migration_unknown"),
        (
            {"0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 1;", "0001_aa.sql": ""},
            "migration_misnamed",
        ),
        ({"0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 1;", "3_c.sql": ""}, "migration_misnamed"),
        ({"0000_z.sql": "", "0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 1;"}, "migration_out_of_order"),
    ],
)
async def test_a_history_that_does_not_fit_is_refused_by_name(
    empty_database_url: str, tmp_path: Path, files: dict[str, str], code: str
) -> None:
    folder = folder_of(tmp_path, {"0001_a.sql": "SELECT 1;", "0002_b.sql": "SELECT 1;"})
    conn = await asyncpg.connect(empty_database_url)
    try:
        await migrate(conn, folder)
        for path in folder.iterdir():
            path.unlink()
        folder_of(tmp_path, files)
        for verb in (migrate, pending):
            with pytest.raises(MigrationError) as refused:
                await verb(conn, folder)
            assert refused.value.code == code
    finally:
        await conn.close()


def test_line_ends_of_a_checkout_do_not_change_a_migration(tmp_path: Path) -> None:
    unix = runner.load(folder_of(tmp_path, {"0001_a.sql": "SELECT 1;\nSELECT 2;\n"}))
    (tmp_path / "migrations" / "0001_a.sql").write_bytes(b"SELECT 1;\r\nSELECT 2;\r\n")
    assert runner.load(tmp_path / "migrations") == unix
