"""A flat profile of the SFU's process by a sampling profiler, py-spy, which is not ours and need not be installed."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest.options import LoadError
from loadtest.sfu import process

RATE = 400  # samples a second
GRACE_SECONDS = 10.0
_LINE = re.compile(r":\d+\)$")


@dataclass(frozen=True, slots=True)
class Row:
    """Percent of the samples in which a function ran itself (or something in C), and with all that it called."""

    function: str
    own: float
    cumulative: float


def flat(stacks: Iterable[str]) -> tuple[Row, ...]:
    """Of py-spy's raw format (`outer;...;inner COUNT`), the most expensive function first."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.strip().rpartition(" ")
        if not stack or not count.isdecimal():
            continue
        functions = [_LINE.sub(")", frame) for frame in stack.split(";")]
        own[functions[-1]] += int(count)
        for function in set(functions):
            cumulative[function] += int(count)
    total = max(own.total(), 1)
    return tuple(
        Row(function, 100 * count / total, 100 * cumulative[function] / total)
        for function, count in own.most_common()
    )


async def sample(profiler: str, pid: int, seconds: float) -> tuple[Row, ...]:
    """The flat profile of the next seconds. The process is not stopped for it. Raises LoadError."""
    with tempfile.TemporaryDirectory(prefix="visavis-profile-") as directory:
        out = Path(directory, "stacks")
        command = (
            profiler, "record", "--nonblocking", "-p", str(pid), "-r", str(RATE),
            "-d", str(max(int(seconds), 1)), "-f", "raw", "-o", str(out),
        )  # fmt: skip
        try:
            child = await process.start(command, None, asyncio.subprocess.DEVNULL)
        except OSError as error:
            raise LoadError(f"{profiler} does not run: {error}") from error
        try:
            await asyncio.wait_for(child.wait(), seconds + GRACE_SECONDS)
        except TimeoutError:
            raise LoadError(f"{profiler} does not end") from None
        finally:
            await process.stop(child)
        return _read(out, profiler)


def _read(out: Path, profiler: str) -> tuple[Row, ...]:
    try:
        return flat(out.read_text().splitlines())
    except FileNotFoundError:
        raise LoadError(f"{profiler} found nothing; may it look into other processes?") from None
