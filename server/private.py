"""Small private files of the data directory: secrets and what a running `visavis up` tells its own."""

import contextlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole, mode 0600: a reader sees the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.fchmod(fd, 0o600)
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)


def kept_secret(path: Path) -> str:
    """The random secret (256 bits, URL-safe) kept in this file, made at the first call."""
    return kept_text(path, lambda: secrets.token_urlsafe(32))


def kept_text(path: Path, make: Callable[[], str]) -> str:
    """The text kept in this file, made at the first call; of two processes that make it, both get the same."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = path.with_name(f".{path.name}.{os.getpid()}.made")
        write_private(made, make() + "\n")
        with contextlib.suppress(
            FileExistsError
        ):  # another process was faster: its text is kept, ours forgotten
            os.link(made, path)
        made.unlink()
        return path.read_text().strip()


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file; None when there is no file we may read or no object in it."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
