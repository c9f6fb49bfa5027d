"""The clock that several processes share."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.simulation.clock import SharedClock

BEGIN = datetime(2026, 10, 25, tzinfo=UTC)
# Sets it again and again, until its stdin closes.
SET = """
import sys, threading
from datetime import timedelta
from pathlib import Path
from tests.simulation.clock import SharedClock
clock = SharedClock(Path(sys.argv[1]))
threading.Thread(target=sys.stdin.read, daemon=True).start()
waiting, = (t for t in threading.enumerate() if t is not threading.main_thread())
now = clock.now()
print("going", flush=True)
while waiting.is_alive():
    for _ in range(1000):
        now += timedelta(minutes=7)
        clock.set(now)
"""


def test_nobody_reads_an_instant_that_was_never_set(tmp_path: Path) -> None:
    """Written in two pieces, a fifth of these looks would find another time."""
    clock = SharedClock.create(tmp_path / "clock", BEGIN)
    setter = subprocess.Popen(
        [sys.executable, "-c", SET, str(tmp_path / "clock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert setter.stdout is not None
        assert setter.stdout.readline() == "going\n"
        latest, moves = clock.now(), 0
        while moves < 300:
            now = clock.now()
            assert now >= latest
            assert (now - BEGIN) % timedelta(minutes=7) == timedelta()
            moves += now > latest
            latest = now
    finally:
        setter.communicate("", timeout=20)
    assert setter.returncode == 0
