"""The SFU's benchmark on a tiny load: real processes, real DTLS and SRTP, against ours and, where installed, Janus."""

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.options import Load
from loadtest.sfu import janus
from loadtest.sfu.batch import Batch
from loadtest.sfu.joins import cycles, joins
from loadtest.sfu.measure import Figures, run
from loadtest.sfu.process import Cores, alone, cpu_seconds, resident_octets, system_seconds
from loadtest.sfu.scenario import Scenario
from media.rtp import MID, TRANSPORT_CC

NOT_PINNED = Cores(None, None)  # the test's own process must not stay on one core
CALL = Scenario("calls", "one call", 1, 2, 0, Load(video_kbps=300))
WEBINAR = Scenario("paced", "webinar, paced", 1, 1, 2, Load(video_kbps=300, paced=True), decrypt=3)


def sound(it: Figures, streams: int) -> None:
    """`streams` is how many media streams arrive at clients, at 50 packets a second or more each."""
    assert it.packets > 30 * streams and it.expected > 20 * streams
    assert (it.lost, it.dropped, it.unauthentic) == (0, 0, 0)
    assert it.cpu_seconds > 0 and it.memory_octets > 0
    assert (
        it.delay_p50_ms is not None and it.delay_p99_ms is not None and 0 < it.delay_p50_ms <= it.delay_p99_ms
    )
    assert {MID, TRANSPORT_CC} <= set(it.extensions)
    assert it.feedback > 5 and it.control > 0


def test_a_call_through_our_sfu() -> None:
    it = run("visavis", CALL, 1.2, NOT_PINNED)
    sound(it, 4)
    assert it.drops == {}


def test_a_paced_webinar_through_our_sfu_with_a_sample_decrypted() -> None:
    sound(run("visavis", WEBINAR, 1.2, NOT_PINNED), 4)


@pytest.mark.skipif(janus.missing() is not None, reason="Janus is not there")
def test_the_same_call_through_janus() -> None:
    sound(run("janus", CALL, 1.2, NOT_PINNED), 4)


def test_joins_are_timed_until_the_first_media_packet() -> None:
    found = joins(NOT_PINNED, rooms=2)
    assert len(found.singly) == 4 and len(found.storm) == 2
    assert all(0 < value < 20_000 for value in (*found.singly, *found.storm))


def test_who_comes_and_goes_leaves_nothing_behind() -> None:
    first, last = cycles(NOT_PINNED, (8, 24))
    assert (first.cycles, last.cycles) == (8, 24)
    assert (last.peers, last.rooms) == (0, 0)
    # Names of the last 128 peers stay in the flight recorder; of what they were made of, nothing does.
    assert not {"Peer", "Track", "Stream", "Outlet", "DtlsSession", "Room"} & last.media_objects.keys()


def test_the_command_prints_figures_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sfu", "--quick", "--peer", "none", "--scenario", "calls", "--json"]) == 0
    (scenario,) = json.loads(capsys.readouterr().out)["scenarios"]
    assert (
        scenario["name"] == "calls" and scenario["ours"][0]["us_per_packet"] > 0 and scenario["ratio"] is None
    )


@pytest.mark.parametrize("words", [["--scenario", "parade"], ["--runs", "0"], ["--seconds", "1000"]])
def test_words_that_make_no_sense_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sfu", *words]) == 2
    assert words[0] in capsys.readouterr().err


def test_without_janus_our_figures_come_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["sfu", "--quick", "--scenario", "calls"]) == 0
    told = capsys.readouterr()
    assert "Janus is not installed" in told.err
    assert "note: Janus is not installed" in told.out and "CPU per packet" in told.out


def test_a_batch_holds_what_came_with_the_kernels_time() -> None:
    batch = Batch()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        one.bind(("127.0.0.1", 0))
        one.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        before = time.time_ns()
        for number in range(batch.SIZE + 3):
            two.sendto(bytes((number,)) * (number + 1), one.getsockname())
        first, second, none = batch.read(one.fileno()), batch.read(one.fileno()), batch.read(one.fileno())
        # The kernel begins to stamp a moment after it was asked; what came before that is stamped when it is read.
        after = time.time_ns()
    assert [size for size, _ in first] == list(range(1, batch.SIZE + 1))
    assert [size for size, _ in second] == [batch.SIZE + extra for extra in (1, 2, 3)] and none == []
    assert all(before <= at <= after for _, at in (*first, *second))
    assert batch.view[0] == batch.SIZE  # the second reading overwrote the first


def test_the_kernel_tells_cpu_and_memory_of_a_process() -> None:
    before = cpu_seconds(os.getpid())
    while time.process_time() - before < 0.02:
        sum(range(1000))
    assert 0.02 <= cpu_seconds(os.getpid()) - before < 10
    assert 0 <= system_seconds(os.getpid()) <= cpu_seconds(os.getpid()) + 0.02
    assert resident_octets(os.getpid()) > 1_000_000


def test_two_benchmarks_do_not_measure_each_other(tmp_path: Path) -> None:
    order: list[str] = []
    first_has_it, second_waits = threading.Event(), threading.Event()

    def second() -> None:
        first_has_it.wait(10)
        with alone(tmp_path / "lock", second_waits.set):
            order.append("second")

    other = threading.Thread(target=second)
    other.start()
    with alone(tmp_path / "lock", lambda: order.append("first waited")):
        first_has_it.set()
        assert second_waits.wait(10)
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
