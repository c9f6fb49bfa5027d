"""What the runs of one benchmark say together: medians, ratios, goals; and how that is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from loadtest.sfu.joins import Joins, Mark
from loadtest.sfu.measure import Figures
from loadtest.sfu.scenario import LEAST_RATIO, Scenario

JOIN_P50_MS, JOIN_P99_MS, STORM_P99_MS = 60.0, 150.0, 400.0
# Beyond these the generator, not the SFU, may be what was measured.
BUSY_PERCENT = 85.0
PROFILED = 30  # functions shown of a profile
LATE_MS = 5.0
GROWTH = 1.05  # of memory from the last mark but one to the last, when all caches are full: more than this is a leak


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs of one scenario, ours and the peer's in turn; the peer may be missing."""

    scenario: Scenario
    ours: tuple[Figures, ...]
    theirs: tuple[Figures, ...] = ()
    broken: tuple[str, ...] = ()  # runs that did not come to an end, and why

    @property
    def ratios(self) -> tuple[float, ...]:
        """CPU per packet, ours over the peer's, of each pair of neighbouring runs."""
        return tuple(
            one.us_per_packet / other.us_per_packet
            for one, other in zip(self.ours, self.theirs, strict=len(self.theirs) > 0)
        )

    @property
    def ratio(self) -> float | None:
        """The median of the pairs."""
        return median(self.ratios) if self.ratios else None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one benchmark found."""

    comparisons: tuple[Comparison, ...] = ()
    joins: tuple[Joins, ...] = ()
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    judged: bool = True  # a tiny load is not: its figures say nothing

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that broke."""
        return (*(text for it in self.comparisons for text in it.broken), *self.broken)

    def goals(self) -> list[tuple[str, float | None, float]]:
        """(what, measured, the goal it should not exceed), for everything that has a goal and was measured."""
        found: list[tuple[str, float | None, float]] = []
        if not self.judged:
            return found
        for it in self.comparisons:
            scenario = it.scenario
            if scenario.ratio_goal is not None and it.ratio is not None:
                found.append((f"{scenario.title}: CPU per packet / Janus", it.ratio, scenario.ratio_goal))
            if scenario.p99_goal_ms is not None:
                lost = float(sum(f.lost for f in it.ours)) if it.ours else None
                found.append((f"{scenario.title}: packets lost", lost, 0.0))
                found.append(
                    (
                        f"{scenario.title}: delay p99, ms",
                        middle(it.ours, "delay_p99_ms"),
                        scenario.p99_goal_ms,
                    )
                )
            if scenario.memory_goal_kb is not None:
                memory = middle(it.ours, "memory_kb_per_participant")
                found.append(
                    (f"{scenario.title}: memory per participant, KB", memory, scenario.memory_goal_kb)
                )
        if self.joins:
            for title, storm, percent, goal in (
                ("join, one after another, p50, ms", False, 50, JOIN_P50_MS),
                ("join, one after another, p99, ms", False, 99, JOIN_P99_MS),
                ("join, 50 at once, p99, ms", True, 99, STORM_P99_MS),
            ):
                values = [value for it in self.joins if (value := it.quantile(storm, percent)) is not None]
                found.append((title, median(values) if values else None, goal))
        if len(self.marks) > 1:
            first, last = self.marks[-2], self.marks[-1]
            title = f"memory after {last.cycles:,} joins / after {first.cycles:,}"
            found.append((title, last.memory_octets / first.memory_octets, GROWTH))
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "scenarios": [
                {
                    "name": it.scenario.name,
                    "ratio": it.ratio,
                    "ratios": it.ratios,
                    "ours": [
                        asdict(figures) | {"us_per_packet": figures.us_per_packet} for figures in it.ours
                    ],
                    "theirs": [
                        asdict(figures) | {"us_per_packet": figures.us_per_packet} for figures in it.theirs
                    ],
                }
                for it in self.comparisons
            ],
            "joins": [asdict(it) for it in self.joins],
            "cycles": [asdict(it) for it in self.marks],
            "goals": [{"what": what, "measured": value, "goal": goal} for what, value, goal in self.goals()],
            "notes": self.notes,
            "broken": self.faults,
        }


def middle(runs: Sequence[Figures], name: str) -> float | None:
    """The median of one figure over the runs that have it."""
    values = [float(value) for figures in runs if (value := getattr(figures, name)) is not None]
    return median(values) if values else None


_ROWS: tuple[tuple[str, Callable[[Figures], float | None], int], ...] = (
    ("CPU per packet, us", lambda it: it.us_per_packet, 1),
    ("packets/s to clients", lambda it: it.packets / it.seconds, 0),
    ("SFU, % of its core", lambda it: it.sfu_percent, 0),
    ("of that in the kernel, %", lambda it: it.kernel_percent, 0),
    ("packets lost", lambda it: it.lost, 0),
    ("delay p50, ms", lambda it: it.delay_p50_ms, 2),
    ("delay p99, ms", lambda it: it.delay_p99_ms, 2),
    ("memory per participant, KB", lambda it: it.memory_kb_per_participant, 0),
    ("generator, % of its core", lambda it: it.generator_percent, 0),
    ("generator late p99, ms", lambda it: it.late_p99_ms, 2),
)


def brief(figures: Figures) -> str:
    """One run in a line, for whoever waits."""
    p99 = "-" if figures.delay_p99_ms is None else f"{figures.delay_p99_ms:.1f} ms"
    return (
        f"  {figures.target:8} {figures.us_per_packet:6.1f} us per packet, {figures.packets / figures.seconds:,.0f} "
        f"packets/s, {figures.lost} lost, delay p99 {p99}, SFU {figures.sfu_percent:.0f} %, "
        f"generator {figures.generator_percent:.0f} %"
    )


def show(report: Report) -> str:
    """The tables: each scenario's medians, joins, cycles; then everything beside its goal."""
    parts = [_scenario(it) for it in report.comparisons]
    if report.joins:
        parts.append(_joins(report.joins))
    if report.marks:
        rows = [["joins and leaves", "memory, MB", "objects", "of the SFU's types", "peers", "rooms"]]
        rows += [
            [
                f"{it.cycles:,}",
                f"{it.memory_octets / 1e6:.1f}",
                f"{it.objects:,}",
                f"{sum(it.media_objects.values()):,}",
                str(it.peers),
                str(it.rooms),
            ]
            for it in report.marks
        ]
        parts.append(_columns(rows))
    goals = report.goals()
    if goals:
        rows = [["", "measured", "goal", ""]]
        rows += [
            [what, _cell(value, 2), f"{goal:g}", verdict(value, goal, what)] for what, value, goal in goals
        ]
        parts.append(_columns(rows))
    notes = [f"note: {text}" for text in (*report.notes, *_warnings(report))]
    notes += [f"broke: {text}" for text in report.faults]
    if notes:
        parts.append("\n".join(notes))
    return "\n\n".join(parts)


def verdict(value: float | None, goal: float, what: str = "") -> str:
    """In a word; a ratio to the peer has a second line below which it does not count as done."""
    if value is None:
        return "not measured"
    if value <= goal:
        return "reached"
    if "/ Janus" in what and value <= LEAST_RATIO:
        return f"missed, below {LEAST_RATIO:g}"
    return "missed"


def _scenario(it: Comparison) -> str:
    heads = ["visavis", "janus"] if it.theirs else ["visavis"]
    rows = [[f"{it.scenario.title} (medians of {len(it.ours)})", *heads]]
    for label, figure, digits in _ROWS:
        cells = []
        for runs in (it.ours, it.theirs) if it.theirs else (it.ours,):
            values = [float(value) for figures in runs if (value := figure(figures)) is not None]
            cells.append(_cell(median(values) if values else None, digits))
        rows.append([label, *cells])
    text = _columns(rows)
    if it.ratio is not None:
        text += f"\nratio {it.ratio:.2f} ({', '.join(f'{value:.2f}' for value in it.ratios)})"
    if it.ours and it.ours[-1].profile:
        rows = [["own %", "with callees %", "function"]]
        rows += [
            [f"{row.own:.1f}", f"{row.cumulative:.1f}", row.function]
            for row in it.ours[-1].profile[:PROFILED]
        ]
        text += "\n" + "\n".join("  ".join([row[0].rjust(6), row[1].rjust(14), row[2]]) for row in rows)
    return text


def _joins(runs: Sequence[Joins]) -> str:
    rows = [["time to the first media packet, ms", "p50", "p99", "max"]]
    for title, storm in (
        (f"one after another ({len(runs[0].singly)})", False),
        (f"{len(runs[0].storm)} at once", True),
    ):
        cells = [
            _cell(median(value for it in runs if (value := it.quantile(storm, percent)) is not None), 1)
            for percent in (50, 99, 100)
        ]
        rows.append([title, *cells])
    busy = median(it.storm_generator_percent for it in runs)
    return f"{_columns(rows)}\nthe generator's own handshakes took {busy:.0f} % of the storm's time"


def _warnings(report: Report) -> list[str]:
    found = []
    for it in report.comparisons:
        found += _differences(it)
        for figures in (*it.ours, *it.theirs):
            where = f"{figures.target}, {figures.scenario}"
            if figures.generator_percent > BUSY_PERCENT:
                found.append(
                    f"{where}: the generator was a bottleneck ({figures.generator_percent:.0f} % of its core)"
                )
            if figures.late_p99_ms is not None and figures.late_p99_ms > LATE_MS:
                found.append(f"{where}: 1 % of the sends were late by more than {figures.late_p99_ms:.1f} ms")
            if figures.dropped:
                found.append(f"{where}: {figures.dropped} packets were dropped by the clients' own buffers")
            if figures.unauthentic:
                found.append(f"{where}: {figures.unauthentic} packets were not authentic")
            if figures.target == "visavis" and figures.drops:
                found.append(f"{where}: dropped by the SFU: {figures.drops}")
    return found


def _differences(it: Comparison) -> list[str]:
    """What was not the same on both sides, so that the ratio can be judged."""
    if not it.theirs:
        return []
    ours, theirs = it.ours[-1], it.theirs[-1]
    found = []
    for one, other in ((ours, theirs), (theirs, ours)):
        if missing := sorted(set(other.extensions) - set(one.extensions)):
            found.append(f"{it.scenario.name}: {one.target} did not take {', '.join(missing)}")
    if ours.profiles != theirs.profiles:
        found.append(f"{it.scenario.name}: SRTP differs, {ours.profiles} and {theirs.profiles}")
    return found


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )
