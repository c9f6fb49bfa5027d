"""A real worker as a process of its own, on the shared clock, looking more often than people need it to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import uvloop

from jobs.worker import Pace, serve_jobs
from server.base.log import configure
from server.settings import load_settings
from tests.simulation.clock import SharedClock

PACE = Pace(sweep=0.03, clock=0.03)


def main() -> None:
    settings = load_settings(os.environ)
    configure(settings.log_format, process="worker")
    uvloop.run(serve_jobs(settings, SharedClock(Path(sys.argv[1])), PACE))


if __name__ == "__main__":
    main()
