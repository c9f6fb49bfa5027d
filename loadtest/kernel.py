"""What the kernel of this machine knows: how busy it is, and which datagrams it dropped before the server read them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Totals since the start of the machine; None where the kernel does not tell."""

    busy_ticks: int | None
    all_ticks: int | None
    drops: int | None  # of the UDP sockets on the watched ports


def snapshot(ports: Iterable[int], proc: Path = PROC) -> Snapshot:
    """The totals of now; the drops are those of all UDP sockets bound to one of `ports` (proc(5))."""
    busy, total = _ticks(proc)
    return Snapshot(busy, total, _drops(frozenset(ports), proc))


def busy_percent(before: Snapshot, after: Snapshot) -> float | None:
    """Of all processors between two snapshots."""
    if before.all_ticks is None or after.all_ticks is None or after.all_ticks <= before.all_ticks:
        return None
    return 100 * ((after.busy_ticks or 0) - (before.busy_ticks or 0)) / (after.all_ticks - before.all_ticks)


def dropped(before: Snapshot, after: Snapshot) -> int | None:
    """Datagrams that found the server's receive buffer full; None if its socket is not on this machine."""
    return None if before.drops is None or after.drops is None else after.drops - before.drops


def _ticks(proc: Path) -> tuple[int, int] | tuple[None, None]:
    try:
        words = (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        ticks = [int(word) for word in words]
        idle = ticks[3] + ticks[4]
    except (OSError, ValueError, IndexError):
        return None, None
    return sum(ticks) - idle, sum(ticks)


def _drops(ports: frozenset[int], proc: Path) -> int | None:
    found = None
    for name in ("udp", "udp6"):
        try:
            lines = (proc / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) >= 13 and int(words[1].rpartition(":")[2], 16) in ports:
                found = (found or 0) + int(words[-1])
    return found
