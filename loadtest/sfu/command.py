"""`python -m loadtest sfu`: runs what was asked for, in turn, each in a process of its own, and prints the tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from loadtest.options import LoadError
from loadtest.sfu import janus, process
from loadtest.sfu.joins import MARKS, Mark, cycles, joins
from loadtest.sfu.measure import Figures, run
from loadtest.sfu.process import Cores
from loadtest.sfu.report import Comparison, Report, brief, show
from loadtest.sfu.scenario import QUICK, SCENARIOS, Scenario

LOCK = Path(tempfile.gettempdir(), f"visavis-sfu-bench-{os.getuid()}.lock")
JOINS, CYCLES = "joins", "cycles"
NAMES = (*(it.name for it in SCENARIOS), JOINS, CYCLES)
MIN_SECONDS, MAX_SECONDS, MAX_RUNS = 1.0, 60.0, 15
QUICK_SECONDS, QUICK_ROOMS, QUICK_MARKS = 1.0, 4, (20, 60)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words that this command takes."""
    parser.add_argument(
        "--peer", choices=("janus", "none"), default="janus", help="whom to compare with, %(default)s"
    )
    parser.add_argument(
        "--scenario", default="all", metavar="NAME[,NAME...]", help=f"all, or of {', '.join(NAMES)}"
    )
    parser.add_argument("--seconds", type=float, default=6.0, help="measured in each run, %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of each scenario and SFU, in turn, %(default)s")
    parser.add_argument(
        "--quick", action="store_true", help="tiny rooms, one run: shows that it works, says nothing"
    )
    parser.add_argument(
        "--profile",
        metavar="PY_SPY",
        help="after each of our runs, keep the load up and take a profile with this py-spy",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")


def check(words: argparse.Namespace) -> None:
    """Raises LoadError for words that make no sense."""
    unknown = [name for name in _names(words) if name not in NAMES]
    if unknown:
        raise LoadError(f"--scenario takes {', '.join(NAMES)} or all, not {', '.join(unknown)}")
    if not MIN_SECONDS <= words.seconds <= MAX_SECONDS or not 1 <= words.runs <= MAX_RUNS:
        raise LoadError(f"--seconds takes {MIN_SECONDS:g} to {MAX_SECONDS:g}, --runs 1 to {MAX_RUNS}")


def _names(words: argparse.Namespace) -> tuple[str, ...]:
    return NAMES if words.scenario == "all" else tuple(words.scenario.split(","))


def command(words: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Run, print, and return the exit code: 1 if a run broke."""
    names = _names(words)
    seconds, runs = (QUICK_SECONDS, 1) if words.quick else (words.seconds, words.runs)
    scenarios = [it for it in (QUICK if words.quick else SCENARIOS) if it.name in names]
    lacking = janus.missing() if words.peer == "janus" else None
    peer = words.peer == "janus" and lacking is None
    notes = []
    if lacking is not None:
        say(lacking)
        notes.append(lacking)
    cores = Cores.of_machine()
    if cores.sfu is None:
        notes.append(
            "there is one processor only: the SFU and the generator shared it, so nothing here is comparable"
        )
    comparisons = []
    for it in scenarios:
        targets = ("visavis", "janus") if peer and it.compared else ("visavis",)
        comparisons.append(_compare(it, targets, seconds, runs, cores, words.profile, say))
    found = []
    broken: list[str] = []
    if JOINS in names:
        for _ in range(runs):
            say("joins: one after another, then all at once ...")
            with _told("joins", broken, say):
                found.append(_apart(joins, cores, *((QUICK_ROOMS,) if words.quick else ())))
    marks: list[Mark] = []
    if CYCLES in names:
        wanted = QUICK_MARKS if words.quick else MARKS
        say(f"cycles: {wanted[-1]:,} people come and go ...")
        with _told("cycles", broken, say):
            marks = _apart(cycles, cores, wanted)
    report = Report(
        tuple(comparisons), tuple(found), tuple(marks), tuple(notes), tuple(broken), not words.quick
    )
    sys.stdout.write((json.dumps(report.as_json(), indent=2) if words.json else show(report)) + "\n")
    return 1 if report.faults else 0


@contextlib.contextmanager
def _told(what: str, broken: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """A run that breaks is told and noted; the others go on."""
    try:
        yield
    except LoadError as error:
        broken.append(f"{what}: {error}")
        say(f"  broke: {error}")


def _compare(
    scenario: Scenario,
    targets: Sequence[str],
    seconds: float,
    runs: int,
    cores: Cores,
    profile: str | None,
    say: Callable[[str], None],
) -> Comparison:
    """The SFUs in turn, so that all meet the same machine. If one breaks, its neighbour's figures count for nothing."""
    say(f"{scenario.title} ({scenario.name}), {runs} of {seconds:g} s ...")
    rounds: list[list[Figures]] = []
    broken: list[str] = []
    for _ in range(runs):
        found = []
        with process.alone(LOCK, lambda: say("  another benchmark is at work here: waiting for it ...")):
            for target in targets:
                with _told(f"{scenario.name}, {target}", broken, say):
                    profiler = profile if target == "visavis" else None
                    found.append(_apart(run, target, scenario, seconds, cores, profiler))
                    say(brief(found[-1]))
        if len(found) == len(targets):
            rounds.append(found)
    return Comparison(
        scenario,
        tuple(it[0] for it in rounds),
        tuple(it[1] for it in rounds if len(targets) > 1),
        tuple(broken),
    )


def _apart(
    work: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Do it in a fresh process. Raises LoadError."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments, **named).result()
        except BrokenProcessPool as error:
            raise LoadError("A generator process vanished") from error
