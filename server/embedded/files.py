"""The data directory itself, and the logs of the servers in it."""

import os
from pathlib import Path

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
