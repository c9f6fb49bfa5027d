"""Small private files: passwords, endpoints, logs, in a data directory."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

from server.embedded.errors import EmbeddedError


def require_directory(path: Path) -> None:
    """Make the data directory if it is missing. Raises EmbeddedError when it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(path, os.W_OK | os.X_OK) else "permission denied"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise EmbeddedError(
            f"The data directory {path} cannot be written ({reason}): "
            "choose another one with --data-dir or VISAVIS_DATA_DIR."
        )


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
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private(path, secret + "\n")
        return secret


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file; None when there is no file we may read or no object in it."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def open_log(path: Path) -> int:
    """A descriptor for a server's output. The previous run's log is kept as `.1`, so growth is bounded."""
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
