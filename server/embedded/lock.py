"""One `visavis up` per data directory: an advisory file lock that the kernel drops with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.embedded.errors import EmbeddedError
from server.embedded.files import require_directory

LOCK_FILE = "visavis.lock"


@contextmanager
def data_dir_lock(data_dir: Path) -> Iterator[None]:
    """Hold the data directory (made if missing). Raises EmbeddedError naming the holder's pid.

    The lock is the kernel's, so SIGKILL leaves nothing behind; the pid in the file is only for the message.
    The descriptor is close-on-exec: an orphaned child never holds the lock.
    """
    require_directory(data_dir)
    path = data_dir / LOCK_FILE
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(fd, 20).decode("ascii", "replace").strip()
            raise EmbeddedError(
                f"Another `visavis up` (pid {pid or 'unknown'}) already uses {data_dir}: "
                "stop it first, or give this one a directory of its own with --data-dir."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)
