"""From what generators and server report to the figures, the table and its warnings."""

import json
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.generator import Measured
from loadtest.kernel import Snapshot, busy_percent, dropped, snapshot
from loadtest.metrics import ServerFigures, difference, parse
from loadtest.result import Outcome, evaluate, table

REPORT = Measured(
    sent=1000,
    received=990,
    duplicates=2,
    reordered=3,
    repaired=4,
    latencies_us=array("I", range(100, 1100)).tobytes(),
    lateness_us=array("I", [100] * 99 + [400]).tobytes(),
    join_seconds=(0.05, 0.1),
    silent=0,
    cpu_seconds=2.0,
    blocked=0,
    skipped=0,
    strange=0,
    overflowed=0,
    feedback={"pli": 1},
)
FIGURES = ServerFigures(
    10.0, cpu_seconds=3.0, packets_in=1100.0, packets_out=1000.0, forward_p99_ms=0.5, drops={}
)


def outcome(*reports: Measured, server: ServerFigures = FIGURES, machine: float | None = 50.0) -> Outcome:
    return evaluate(2, 2, 10.0, reports or (REPORT,), server, machine, 0)


def test_the_parts_of_two_generators_are_put_together() -> None:
    it = outcome(REPORT, replace(REPORT, received=1000, latencies_us=array("I", [5000] * 1000).tobytes()))
    assert (it.sent, it.received, it.lost, it.loss_percent) == (2000, 1990, 10, 0.5)
    assert (it.duplicates, it.reordered, it.repaired, it.feedback) == (4, 6, 8, {"pli": 2})
    assert (it.latency_p50_ms, it.latency_p90_ms, it.latency_max_ms) == (1.099, 5.0, 5.0)
    assert (it.join_p50_ms, it.join_p99_ms) == (50.0, 100.0)
    assert it.generator_cpu_percent == (20.0, 20.0)
    assert (it.generator_late_p99_ms, it.generator_late_max_ms) == (0.1, 0.4)


def test_the_servers_rates_are_of_the_time_between_its_own_readings() -> None:
    it = outcome()
    assert it.server_cpu_percent == pytest.approx(30.0)
    assert it.server_packets_out_per_second == 100.0
    assert it.server_us_per_packet == pytest.approx(3000.0)


def test_a_quiet_run_has_nothing_to_warn_of() -> None:
    assert outcome().warnings == ()


@pytest.mark.parametrize(
    ("report", "machine", "words"),
    [
        (replace(REPORT, cpu_seconds=9.0), 50.0, "the generator was a bottleneck"),
        (replace(REPORT, lateness_us=array("I", [9000] * 100).tobytes()), 50.0, "the generator was late"),
        (REPORT, 99.0, "competed for the processors"),
        (replace(REPORT, blocked=7), 50.0, "7 packets were never sent"),
        (replace(REPORT, skipped=7), 50.0, "7 sends were left out"),
        (replace(REPORT, overflowed=7), 50.0, "7 packets were dropped by the generator"),
        (replace(REPORT, strange=7), 50.0, "7 datagrams were not authentic"),
        (replace(REPORT, silent=1), 50.0, "1 people received nothing"),
    ],
)
def test_the_generators_own_trouble_is_said_plainly(report: Measured, machine: float, words: str) -> None:
    [warning] = outcome(report, machine=machine).warnings
    assert words in warning
    assert words in table([outcome(report, machine=machine)])


def test_what_is_not_known_is_a_dash_and_null() -> None:
    it = outcome(
        replace(REPORT, sent=0, received=0, latencies_us=b"", lateness_us=b"", join_seconds=()),
        server=ServerFigures(10.0, None, None, None, None, {}),
        machine=None,
    )
    assert it.loss_percent == 0.0
    assert it.latency_p99_ms is it.server_us_per_packet is it.machine_busy_percent is None
    [row] = [line for line in table([it]).splitlines() if line.startswith("latency p99")]
    assert row.split()[-1] == "-"
    assert json.loads(json.dumps(it.as_json()))["latency_p99_ms"] is None


def test_the_table_has_a_column_for_each_run_and_names_failures_once() -> None:
    failed = replace(
        outcome(), rooms=1, failures=("no way in", "no way in"), server_drops={"srtp_replayed": 3}
    )
    text = table([outcome(), failed])
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["rooms", "2"] and lines[0].endswith("1 of 2")
    assert len({len(line) for line in lines if not line.startswith("2 rooms,")}) == 1, (
        "the columns do not line up"
    )
    assert text.count("no way in") == 1 and "server dropped 3: srtp_replayed" in text


SOCKETS = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 {}
  102: 0100007F:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 99
"""


def test_the_kernels_figures_are_differences(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    (tmp_path / "net/udp").write_text(SOCKETS.format(5))
    before = snapshot([8081], tmp_path)
    (tmp_path / "stat").write_text("cpu  150 0 125 725 100 0 0 0 0 0\ncpu0 1 2 3\n")
    (tmp_path / "net/udp").write_text(SOCKETS.format(12))
    after = snapshot([8081], tmp_path)
    assert busy_percent(before, after) == 75.0
    assert dropped(before, after) == 7
    assert dropped(snapshot([1], tmp_path), snapshot([1], tmp_path)) is None, "a socket that is not here"


def test_without_proc_nothing_is_known(tmp_path: Path) -> None:
    nothing = snapshot([8081], tmp_path)
    assert nothing == Snapshot(None, None, None)
    assert busy_percent(nothing, nothing) is None


BEFORE = """
# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
process_cpu_seconds_total 10.5
visavis_media_packets_total{direction="in"} 1.0e3
visavis_media_packets_total{direction="out"} 900
visavis_media_drops_total{reason="srtp_replayed"} 1
visavis_media_forward_seconds_bucket{le="0.001"} 500
visavis_media_forward_seconds_bucket{le="0.01"} 900
visavis_media_forward_seconds_bucket{le="+Inf"} 900
nonsense
"""
AFTER = """
process_cpu_seconds_total 12.0
visavis_media_packets_total{direction="in"} 2000
visavis_media_packets_total{direction="out"} 1900
visavis_media_drops_total{reason="srtp_replayed"} 1
visavis_media_drops_total{reason="quote \\" and, comma"} 2
visavis_media_forward_seconds_bucket{le="0.001"} 1490
visavis_media_forward_seconds_bucket{le="0.01"} 1900
visavis_media_forward_seconds_bucket{le="+Inf"} 1900
"""


def test_the_servers_figures_are_differences() -> None:
    it = difference(parse(BEFORE), parse(AFTER), 5.0)
    assert (it.cpu_seconds, it.packets_in, it.packets_out) == (1.5, 1000.0, 1000.0)
    assert it.forward_p99_ms == pytest.approx(1.0)
    assert it.drops == {'quote \\" and, comma': 2}, "a counter that did not move, or one that is new"


def test_a_server_without_figures_is_not_an_error() -> None:
    it = difference(parse(""), parse("<html>not metrics</html>"), 5.0)
    assert it == ServerFigures(5.0, None, None, None, None, {})
