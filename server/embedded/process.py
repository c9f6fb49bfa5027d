"""Child processes that never outlive us: death signal, own session, bounded stop."""

import asyncio
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from server.embedded.errors import EmbeddedError

# prctl(2). The kernel sends this signal to the child when the *thread* that forked it ends.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

# A server never runs as root; the first of these that exists is taken instead.
_UNPRIVILEGED = ("visavis", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged operating system user to drop to."""

    name: str
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def can_read(self, *paths: Path) -> bool:
        """Whether this user can open every path, asked of the kernel by trying as that user."""
        script = 'for p; do test -r "$p" || exit 1; done'
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *map(str, paths)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            timeout=10,
            check=False,
        )
        return done.returncode == 0


def server_account() -> Account | None:
    """The user the servers run as: None is ourselves; as root one of `_UNPRIVILEGED`.

    Raises EmbeddedError when we are root and there is nobody to drop to.
    """
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root and no user named "
        f"{', '.join(_UNPRIVILEGED)} exists: create one (useradd --system visavis) or run as a normal user."
    )


class Child:
    """A running child process: it gets `death_signal` when we die, however we die (Linux).

    It runs in a session of its own, so that Ctrl-C on the terminal reaches only us and we choose the order.
    """

    __slots__ = ("_popen", "name")

    def __init__(self, name: str, popen: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._popen = popen

    @classmethod
    def spawn(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        death_signal: signal.Signals,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account | None = None,
        output: int | None = None,
    ) -> Self:
        """Start `argv`. Main thread only. `output` is a descriptor for stdout and stderr (None: ours)."""
        if threading.current_thread() is not threading.main_thread():
            # The death signal follows the forking thread, and a pool thread ends long before the process.
            raise RuntimeError(f"{name} must be started from the main thread")
        parent = os.getpid()

        def in_child() -> None:
            # Runs after the change of user, which would clear the death signal again.
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
                if os.getppid() != parent:  # we died between fork and prctl: nobody would signal the child
                    os._exit(1)

        popen = subprocess.Popen(
            list(argv),
            preexec_fn=in_child,  # noqa: PLW1509  only a C call on a library loaded before the fork
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=None if env is None else dict(env),
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
        return cls(name, popen)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status (negative: the signal), None while running. Does not block."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Signal the child; nothing happens when it has ended."""
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Exit status, once the child has ended."""
        if (code := self._popen.poll()) is not None:
            return code
        if not hasattr(os, "pidfd_open"):
            return await asyncio.to_thread(self._popen.wait)
        fd = os.pidfd_open(self._popen.pid)
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(fd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        return self._popen.wait()

    async def stop(self, number: signal.Signals, *, within: float) -> int:
        """Ask with `number`, insist with SIGKILL after `within` seconds; the exit status."""
        self.send(number)
        try:
            async with asyncio.timeout(within):
                return await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self.wait()


def command_line(pid: int) -> str:
    """The command line of a process, empty when it is gone or cannot be seen."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return ""
    done = subprocess.run(
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, timeout=10, check=False
    )
    return done.stdout.decode(errors="replace")
