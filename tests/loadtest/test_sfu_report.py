"""The arithmetic of the SFU's benchmark: cost per packet, ratios of neighbouring runs, medians, goals."""

import json
from dataclasses import replace

import pytest

from loadtest.sfu.client import Span
from loadtest.sfu.joins import Joins, Mark
from loadtest.sfu.measure import Figures
from loadtest.sfu.report import Comparison, Report, show, verdict
from loadtest.sfu.scenario import SCENARIOS, Scenario

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
CALLS = BY_NAME["calls"]


def figures(
    target: str = "visavis", cpu: float = 2.0, packets: int = 100_000, scenario: str = "calls"
) -> Figures:
    return Figures(
        target=target,
        scenario=scenario,
        seconds=5.0,
        participants=120,
        packets=packets,
        octets=0,
        repairs=7,
        control=9,
        feedback=0,
        cpu_seconds=cpu,
        system_seconds=cpu / 4,
        lost=0,
        expected=packets,
        dropped=0,
        unauthentic=0,
        delay_p50_ms=1.0,
        delay_p99_ms=6.0,
        delay_max_ms=9.0,
        memory_octets=12_000_000,
        generator_percent=40.0,
        late_p99_ms=1.0,
        profiles=(),
        extensions=(),
    )


def compared(*pairs: tuple[float, float], scenario: Scenario = CALLS) -> Comparison:
    return Comparison(
        scenario,
        tuple(figures("visavis", cpu) for cpu, _ in pairs),
        tuple(figures("janus", cpu) for _, cpu in pairs),
    )


def test_the_cost_of_a_packet_is_cpu_over_the_media_packets_that_clients_received() -> None:
    it = figures(cpu=2.0, packets=100_000)
    assert it.us_per_packet == pytest.approx(20.0)
    assert it.sfu_percent == pytest.approx(40.0)
    assert it.kernel_percent == pytest.approx(25.0)
    assert it.memory_kb_per_participant == pytest.approx(100.0)


def test_the_ratio_is_the_median_of_the_pairs_and_not_the_ratio_of_the_medians() -> None:
    # The machine was slow during the first pair: only neighbours may be compared.
    it = compared((4.0, 8.0), (2.0, 2.5), (1.0, 2.0))
    assert it.ratios == pytest.approx((0.5, 0.8, 0.5))
    assert it.ratio == pytest.approx(0.5)


def test_a_run_that_lacks_its_neighbour_is_a_fault_and_not_left_out() -> None:
    it = replace(compared((1.0, 2.0), (1.0, 2.0)), theirs=(figures("janus"),))
    with pytest.raises(ValueError, match="zip"):
        _ = it.ratios


def test_without_a_peer_there_is_no_ratio_but_everything_else() -> None:
    it = Comparison(CALLS, (figures(),))
    assert it.ratio is None
    report = Report((it,), notes=("no peer",))
    assert [what for what, _, _ in report.goals()] == ["60 one-to-one rooms: memory per participant, KB"]
    text = show(report)
    assert "janus" not in text and "20.0" in text and "note: no peer" in text


@pytest.mark.parametrize(
    ("value", "word"),
    [(0.60, "reached"), (0.61, "missed, below 0.85"), (0.86, "missed"), (None, "not measured")],
)
def test_a_ratio_has_a_goal_and_a_least(value: float | None, word: str) -> None:
    assert verdict(value, 0.60, "60 rooms: CPU per packet / Janus") == word


def test_the_goals_are_those_of_the_product() -> None:
    assert {name: it.ratio_goal for name, it in BY_NAME.items() if it.compared} == {
        "calls": 0.60,
        "webinar": 0.60,
        "paced": 0.75,
    }
    assert (BY_NAME["calls120"].p99_goal_ms, BY_NAME["crowd"].p99_goal_ms) == (10.0, 40.0)
    assert BY_NAME["calls"].participants == 120 and BY_NAME["crowd"].participants == 401


def test_loss_and_delay_stand_beside_their_goals() -> None:
    crowd = BY_NAME["crowd"]
    runs = tuple(
        replace(figures(), lost=lost, delay_p99_ms=p99) for lost, p99 in ((0, 30.0), (3, 90.0), (0, 35.0))
    )
    found = {what: (value, goal) for what, value, goal in Report((Comparison(crowd, runs),)).goals()}
    assert found[f"{crowd.title}: packets lost"] == (3.0, 0.0)
    assert found[f"{crowd.title}: delay p99, ms"] == (35.0, 40.0)


def test_joins_and_cycles_stand_beside_their_goals() -> None:
    joins = Joins(tuple(float(n) for n in range(1, 101)), tuple(float(n) for n in range(200, 250)), 50.0)
    marks = (
        Mark(1000, 30_000_000, 5000, {"Peer": 0}, 0, 0),
        Mark(5000, 40_000_000, 5000, {"Peer": 0}, 0, 0),
        Mark(10_000, 44_000_000, 5000, {"Peer": 0}, 0, 0),
    )
    report = Report(joins=(joins,), marks=marks)
    found = {what: value for what, value, _ in report.goals()}
    assert found["join, one after another, p50, ms"] == 50.0
    assert found["join, one after another, p99, ms"] == 99.0
    assert found["join, 50 at once, p99, ms"] == 249.0
    assert found["memory after 10,000 joins / after 5,000"] == pytest.approx(1.1)
    text = show(report)
    assert "99.0" in text and "44.0" in text
    assert json.loads(json.dumps(report.as_json()))["cycles"][2]["cycles"] == 10_000


def test_a_generator_that_was_the_bottleneck_is_told() -> None:
    busy = Report((Comparison(CALLS, (replace(figures(), generator_percent=95.0, late_p99_ms=20.0),)),))
    assert "bottleneck" in show(busy) and "late by more than 20.0 ms" in show(busy)
    assert "note:" not in show(Report((Comparison(CALLS, (figures(),)),)))


def test_a_scenario_that_broke_is_told_and_has_no_figures() -> None:
    report = Report(
        (Comparison(BY_NAME["crowd"], (), (), ("crowd, visavis: too much",)),), broken=("cycles: gone",)
    )
    assert report.faults == ("crowd, visavis: too much", "cycles: gone")
    text = show(report)
    assert "broke: crowd, visavis: too much" in text and "broke: cycles: gone" in text
    assert {value for _, value, _ in report.goals()} == {None}


def test_what_the_two_sides_do_not_share_is_told() -> None:
    same = Comparison(
        CALLS, (replace(figures(), extensions=("a", "b")),), (replace(figures("janus"), extensions=("a",)),)
    )
    text = show(Report((same,)))
    assert "note: calls: janus did not take b" in text and "visavis did not take" not in text
    other = Comparison(
        CALLS, (replace(figures(), profiles=("X",)),), (replace(figures("janus"), profiles=("Y",)),)
    )
    assert "SRTP differs" in show(Report((other,)))


def test_loss_is_what_was_sent_between_two_samples_and_did_not_come() -> None:
    span = Span(stream=1, first=100, last=200, first_count=50, last_count=148)
    assert (span.sent, span.lost) == (100, 2)
    span.repaired = 2
    assert span.lost == 0
