"""Applies the numbered `.sql` files of a folder, in order, each once, each in a transaction of its own."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncpg import PostgresError

from server.base.db import Conn
from server.base.errors import Unavailable
from server.migrations import store

FOLDER = Path(__file__).parent
_FILE_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")


class MigrationError(Unavailable):
    """The files and the database cannot be reconciled. `detail` says why and what to do."""

    def __init__(self, code: str, detail: str, name: str) -> None:
        super().__init__(code, detail)
        self.name = name


class ChecksumChanged(MigrationError):
    """A migration that was applied has another text now."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "migration_changed",
            f"Migration {name} was changed after it was applied to this database: "
            "restore its text and put the change into a new migration.",
            name,
        )


class MigrationUnknown(MigrationError):
    """The database knows a migration that these files do not: it belongs to a newer release."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "migration_unknown",
            f"This database was migrated by a newer release (it has {name}): run that release or a newer one.",
            name,
        )


class MigrationOutOfOrder(MigrationError):
    """A file sorts before one that is already applied: two branches took numbers at the same time."""

    def __init__(self, name: str, after: str) -> None:
        super().__init__(
            "migration_out_of_order",
            f"Migration {name} comes before {after}, which is already applied: give it a later number.",
            name,
        )


class MigrationMisnamed(MigrationError):
    """A file name without a number of its own."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__("migration_misnamed", f"Migration {name} {reason}.", name)


class MigrationFailed(MigrationError):
    """PostgreSQL refused a migration; nothing of it remains."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__("migration_failed", f"Migration {name} failed and was rolled back: {reason}", name)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, its text, and the SHA-256 of the text with line ends normalised."""

    name: str
    sql: str
    checksum: str


def load(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """The migrations of a folder in the order of their numbers.

    Raises MigrationMisnamed for a `.sql` file with another kind of name and for a number used twice.
    """
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        if not _FILE_NAME.fullmatch(path.name):
            raise MigrationMisnamed(path.name, "is not named like 0001_what_it_does.sql")
        if found and found[-1].name[:4] == path.name[:4]:
            raise MigrationMisnamed(path.name, f"has the same number as {found[-1].name}")
        sql = path.read_text(
            encoding="utf-8"
        )  # universal newlines: a checkout with CRLF is the same migration
        found.append(Migration(path.name, sql, hashlib.sha256(sql.encode()).hexdigest()))
    return tuple(found)


def outstanding(files: Sequence[Migration], applied: dict[str, str]) -> tuple[Migration, ...]:
    """The files still to apply, given the checksums by name of those applied.

    Raises ChecksumChanged, MigrationUnknown, MigrationOutOfOrder.
    """
    known = {file.name for file in files}
    for name in sorted(applied):
        if name not in known:
            raise MigrationUnknown(name)
    for file in files:
        if applied.get(file.name, file.checksum) != file.checksum:
            raise ChecksumChanged(file.name)
    last = max(applied, default="")
    todo = tuple(file for file in files if file.name not in applied)
    if todo and todo[0].name < last:
        raise MigrationOutOfOrder(todo[0].name, last)
    return todo


async def pending(conn: Conn, folder: Path = FOLDER) -> list[str]:
    """Names of the migrations not yet applied, in order. Changes nothing. Raises MigrationError."""
    return [file.name for file in outstanding(load(folder), await store.applied(conn))]


async def migrate(conn: Conn, folder: Path = FOLDER) -> list[str]:
    """Apply what is pending and return its names; a second migrator waits for the first and finds nothing.

    Call outside a transaction. Raises MigrationError; what was applied before the fault stays applied.
    """
    files = load(folder)
    await store.lock(conn)
    try:
        todo = outstanding(files, await store.applied(conn))
        for file in todo:
            await _apply(conn, file)
        return [file.name for file in todo]
    finally:
        if not conn.is_closed():
            await store.unlock(conn)


async def _apply(conn: Conn, file: Migration) -> None:
    try:
        async with conn.transaction():
            await store.make_record(conn)
            await conn.execute(file.sql, timeout=None)
            await store.record(conn, file.name, file.checksum)
    except PostgresError as error:
        raise MigrationFailed(file.name, f"{error} ({error.sqlstate})") from error
