"""The process that is measured: started on one core, dying with us, and what the kernel knows of it."""

import asyncio
import contextlib
import ctypes
import fcntl
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STOP_SECONDS = 5.0
_AUTOGROUP = Path("/proc/self/autogroup")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Cores:
    """One for the SFU, one for the load. None: the machine has only one for us, nothing is pinned."""

    sfu: int | None
    generator: int | None

    @classmethod
    def of_machine(cls) -> "Cores":
        """The first two that we may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls(None, None)


def pin(core: int | None) -> None:
    """Stay on one core from now on, with the priority that the whole benchmark was given by nice(1).

    Where Linux schedules by session (sched(7), autogroup) a nice level counts only among the processes of a session,
    and the SFU has one of its own; the level is therefore given to the session as well.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    level = os.getpriority(os.PRIO_PROCESS, 0)
    if level and _AUTOGROUP.exists():
        with contextlib.suppress(OSError):  # asked too often, or not allowed to: then without
            _AUTOGROUP.write_text(str(level))


async def start(
    command: Sequence[str],
    core: int | None,
    log: BinaryIO | int,
    environment: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """A child on that core, which ends when we do. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=dict(environment) if environment is not None else None,
        start_new_session=True,  # Ctrl-C is for us; we end it
        preexec_fn=_dying_with(os.getpid(), core),
    )


def _dying_with(parent: int, core: int | None) -> Callable[[], None]:
    everywhere = range(os.cpu_count() or 1)  # ours is pinned, and would be inherited

    def prepare() -> None:
        os.sched_setaffinity(0, everywhere)
        pin(core)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it went between fork and prctl
            os._exit(1)

    return prepare


def pin_threads(pid: int, core: int | None) -> None:
    """Bring all threads of a running process to a core; those it starts later inherit that."""
    if core is not None:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {core})


async def stop(process: asyncio.subprocess.Process) -> None:
    """SIGINT, and after a while SIGKILL."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process, in nanosecond grain (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def system_seconds(pid: int) -> float:
    """The part of it that was spent in the kernel, in the grain of a clock tick (stime of proc(5))."""
    # The name in parentheses may hold anything, spaces and parentheses included.
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[12]) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def alone(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock of `path`: two benchmarks at once would measure each other. `waiting` is called before a wait."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Without Python's cycle collector: its pauses in a generator would be measured as the SFU's delay."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def own_cpu_seconds() -> float:
    """The same of ourselves."""
    return time.process_time()


def resident_octets(pid: int) -> int:
    """What it holds in memory of its own (RssAnon of proc(5)): code shared with others is not counted."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"the kernel does not tell the memory of process {pid}")
