"""``python -m tests.simulation``: a large simulated day, from a seed that is printed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.simulation.checker import Checker
from tests.simulation.day import HARSH, Chances, play
from tests.simulation.script import write


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--stories", type=int, default=5000)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--harsh", action="store_true", help="the chances of the short one in the tests")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"{options.stories} stories in {options.hours} h, seed {seed}", flush=True)
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # it tells every connection that a kill has ended
    began = time.monotonic()
    played = asyncio.run(
        play(write(seed, options.stories, options.hours), HARSH if options.harsh else Chances())
    )
    report = Checker(played).check()
    print(f"{time.monotonic() - began:.0f} s, {len(played.rests)} steps, killed: {dict(played.house.killed)}")
    print(report.text)
    if report.faults:  # the house is gone with all that could be looked at
        kept = Path(tempfile.mkdtemp(prefix=f"visavis-faults-{seed}-"))
        for name, text in played.logs.items():
            (kept / name).write_text(text)
        print(f"what PostgreSQL and the workers wrote is in {kept}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
