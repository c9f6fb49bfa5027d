"""What one run found, computed from what the generators and the server reported, and how it is shown."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.generator import Measured
from loadtest.metrics import ServerFigures
from loadtest.quantiles import nearest_rank

# Beyond these the generator, not the server, may be what was measured.
BUSY_PERCENT = 85.0  # of a core, of one generator process
LATE_MS = 5.0  # 99 % of the sends should be less late than this
MACHINE_BUSY_PERCENT = 95.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The figures of one run; README.md says what each means. None: not known."""

    rooms_wanted: int
    rooms: int
    seconds: float
    sent: int
    received: int
    lost: int
    loss_percent: float
    repaired: int
    duplicates: int
    reordered: int
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p99_ms: float | None
    latency_max_ms: float | None
    join_p50_ms: float | None
    join_p99_ms: float | None
    server_cpu_seconds: float | None
    server_cpu_percent: float | None
    server_packets_out_per_second: float | None
    server_us_per_packet: float | None
    server_forward_p99_ms: float | None
    server_drops: dict[str, int]
    generator_cpu_percent: tuple[float, ...]
    generator_late_p99_ms: float | None
    generator_late_max_ms: float | None
    server_overflowed: int | None
    machine_busy_percent: float | None
    feedback: dict[str, int]
    warnings: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def brief(self) -> str:
        """One line for whoever waits for the table."""

        def shown(value: float | None, unit: str) -> str:
            return "unknown" if value is None else f"{value:.1f} {unit}"

        return (
            f"{self.rooms} rooms: {self.loss_percent:.3f} % lost, latency p99 {shown(self.latency_p99_ms, 'ms')},"
            f" {shown(self.server_us_per_packet, 'us')} of server CPU per packet"
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded to what was measured."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def evaluate(
    wanted: int,
    joined: int,
    seconds: float,
    measured: Sequence[Measured],
    server: ServerFigures,
    machine_busy_percent: float | None,
    server_overflowed: int | None,
) -> Outcome:
    """Put the parts together."""
    latencies = _merged(report.latencies_us for report in measured)
    lateness = _merged(report.lateness_us for report in measured)
    joins = sorted(value * 1000 for report in measured for value in report.join_seconds)
    sent = sum(report.sent for report in measured)
    received = sum(report.received for report in measured)
    busy = tuple(100 * report.cpu_seconds / seconds for report in measured)
    late = _milliseconds(lateness, 99)
    out = server.packets_out
    return Outcome(
        rooms_wanted=wanted,
        rooms=joined,
        seconds=seconds,
        sent=sent,
        received=received,
        lost=sent - received,
        loss_percent=100 * (sent - received) / sent if sent else 0.0,
        repaired=sum(report.repaired for report in measured),
        duplicates=sum(report.duplicates for report in measured),
        reordered=sum(report.reordered for report in measured),
        latency_p50_ms=_milliseconds(latencies, 50),
        latency_p90_ms=_milliseconds(latencies, 90),
        latency_p99_ms=_milliseconds(latencies, 99),
        latency_max_ms=_milliseconds(latencies, 100),
        join_p50_ms=nearest_rank(joins, 50),
        join_p99_ms=nearest_rank(joins, 99),
        server_cpu_seconds=server.cpu_seconds,
        server_cpu_percent=None if server.cpu_seconds is None else 100 * server.cpu_seconds / server.seconds,
        server_packets_out_per_second=None if out is None else out / server.seconds,
        server_us_per_packet=1e6 * server.cpu_seconds / out
        if server.cpu_seconds is not None and out
        else None,
        server_forward_p99_ms=server.forward_p99_ms,
        server_drops=server.drops,
        generator_cpu_percent=busy,
        generator_late_p99_ms=late,
        generator_late_max_ms=_milliseconds(lateness, 100),
        server_overflowed=server_overflowed,
        machine_busy_percent=machine_busy_percent,
        feedback=_summed(report.feedback for report in measured),
        warnings=tuple(_warnings(measured, busy, late, machine_busy_percent)),
        failures=tuple(failure for report in measured for failure in report.failures),
    )


def _warnings(
    measured: Sequence[Measured], busy: Sequence[float], late: float | None, machine: float | None
) -> list[str]:
    found = []
    if max(busy, default=0) > BUSY_PERCENT:
        found.append(f"the generator was a bottleneck: one of its processes used {max(busy):.0f} % of a core")
    if late is not None and late > LATE_MS:
        found.append(
            f"the generator was late: 1 % of its sends by more than {late:.1f} ms, so the load came in lumps"
        )
    if machine is not None and machine > MACHINE_BUSY_PERCENT:
        found.append(
            f"the machine was {machine:.0f} % busy: the server and the generator competed for the processors"
        )
    for name, what in (
        ("blocked", "packets were never sent because the generator's socket buffers were full"),
        ("skipped", "sends were left out because the generator was more than 200 ms late"),
        ("overflowed", "packets were dropped by the generator's own receive buffers and count as lost"),
        ("strange", "datagrams were not authentic, not stamped or not understood"),
        ("silent", "people received nothing in the window"),
    ):
        if count := sum(getattr(report, name) for report in measured):
            found.append(f"{count} {what}")
    return found


def _merged(parts: Any) -> array[int]:
    merged = array("I")
    for part in parts:
        merged.frombytes(part)
    return array("I", sorted(merged))


def _milliseconds(ordered: array[int], percent: float) -> float | None:
    value = nearest_rank(ordered, percent)
    return None if value is None else value / 1000


def _summed(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


_ROWS: tuple[tuple[str, str, int], ...] = (
    ("packets sent", "sent", 0),
    ("packets received", "received", 0),
    ("packets lost", "lost", 0),
    ("loss, %", "loss_percent", 4),
    ("latency p50, ms", "latency_p50_ms", 2),
    ("latency p90, ms", "latency_p90_ms", 2),
    ("latency p99, ms", "latency_p99_ms", 2),
    ("latency max, ms", "latency_max_ms", 2),
    ("join p50, ms", "join_p50_ms", 0),
    ("join p99, ms", "join_p99_ms", 0),
    ("server CPU, s", "server_cpu_seconds", 2),
    ("server CPU, % of a core", "server_cpu_percent", 1),
    ("server egress, packets/s", "server_packets_out_per_second", 0),
    ("server CPU per packet, us", "server_us_per_packet", 1),
    ("server forward p99, ms", "server_forward_p99_ms", 2),
    ("server buffer overflows", "server_overflowed", 0),
    ("generator CPU, % of a core", "generator_cpu_percent", 0),
    ("generator late p99, ms", "generator_late_p99_ms", 2),
    ("machine busy, %", "machine_busy_percent", 0),
)


def table(outcomes: Sequence[Outcome]) -> str:
    """One column for each run, then what to mind about it."""
    heads = [
        str(it.rooms) if it.rooms == it.rooms_wanted else f"{it.rooms} of {it.rooms_wanted}"
        for it in outcomes
    ]
    rows = [["rooms", *heads]]
    rows += [[label, *(_cell(getattr(it, name), digits) for it in outcomes)] for label, name, digits in _ROWS]
    widths = [max(len(row[place]) for row in rows) for place in range(len(outcomes) + 1)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    for it in outcomes:
        notes = [f"note: {text}" for text in it.warnings]
        notes += [f"server dropped {count}: {reason}" for reason, count in it.server_drops.items()]
        notes += [f"failed: {text}" for text in dict.fromkeys(it.failures)]
        lines += [f"{it.rooms_wanted} rooms, {text}" for text in notes]
    return "\n".join(lines)


def _cell(value: float | tuple[float, ...] | None, digits: int) -> str:
    match value:
        case None:
            return "-"
        case tuple():
            return " + ".join(f"{part:,.{digits}f}" for part in value)
        case _:
            return f"{value:,.{digits}f}"
