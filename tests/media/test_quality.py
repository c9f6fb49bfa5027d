"""Quality and its cause: what is a freeze, how a line is judged, and that the figures come from real packets."""

from __future__ import annotations

import itertools
from dataclasses import replace
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import PeerStats, StreamStats, quality_of
from media.pace import Pace, Stalls, Watch, threshold
from media.quality import stream_score
from media.rtcp import ReportBlock, write_receiver_report
from tests.media.client import DELTA, KEYFRAME, VP8_PT, rtp
from tests.media.conftest import World
from tests.media.test_server import pair, speak

FRAME = 3000  # timestamp units at 30 frames a second

shares = st.floats(0, 1)


def stream(direction: str = "in", kind: str = "video", **changes: object) -> StreamStats:
    base = StreamStats(
        direction="in" if direction == "in" else "out",
        mid="1",
        kind="audio" if kind == "audio" else "video",
        ssrc=1,
        participant_id="ann",
        packets=1000,
        bytes=1_000_000,
        lost=0,
        jitter_seconds=0.005,
        rtt_seconds=0.05,
        nacks=0,
        plis=0,
        bitrate_bps=1_500_000.0 if kind == "video" else 40_000.0,
        height=720 if kind == "video" else 0,
        best_height=720 if kind == "video" else 0,
        frame_rate=30.0 if kind == "video" else 0.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def line(*streams: StreamStats, **changes: float) -> PeerStats:
    return replace(PeerStats("ann", "ann", streams), **changes)  # type: ignore[arg-type]


def frames(pace: Pace, count: int, start: float = 10.0, timestamp: int = 0) -> tuple[float, int]:
    """So many frames at 30 a second; the time and timestamp of the last one."""
    for number in range(count):
        pace.step(timestamp + number * FRAME, start + number / 30, 90000, missing=False)
    return start + (count - 1) / 30, timestamp + (count - 1) * FRAME


def test_even_frames_are_no_freeze_and_a_late_one_is() -> None:
    pace = Pace()
    now, timestamp = frames(pace, 60)
    assert pace.freezes == 0 and pace.average == pytest.approx(1 / 30)
    assert pace.step(timestamp + FRAME, now + 0.5, 90000, missing=False) == pytest.approx(0.5)
    assert pace.freezes == 1 and pace.freeze_seconds == pytest.approx(0.5)
    assert pace.average == pytest.approx(1 / 30)  # a freeze does not become the rule


def test_a_pause_of_the_sender_is_no_freeze_and_loss_makes_it_one() -> None:
    """His own timestamps show the gap: a camera that was off, a screen that did not change."""
    pace = Pace()
    now, timestamp = frames(pace, 60)
    assert pace.step(timestamp + 10 * 90000, now + 10, 90000, missing=False) == 0
    assert pace.freezes == 0
    now, timestamp = frames(pace, 60, now + 11, timestamp + 11 * 90000)
    assert pace.step(timestamp + 90000, now + 1, 90000, missing=True) == pytest.approx(1)


def test_a_late_packet_of_an_older_frame_is_no_frame() -> None:
    pace = Pace()
    now, timestamp = frames(pace, 10)
    assert pace.step(timestamp - FRAME, now + 3, 90000, missing=True) == 0
    assert pace.frames == 10 and pace.at == now


@given(st.lists(st.tuples(st.floats(0.001, 3), st.integers(0, 2**32 - 1), st.booleans()), max_size=60))
def test_freezes_never_exceed_the_time_that_passed(steps: list[tuple[float, int, bool]]) -> None:
    pace = Pace()
    now = 5.0
    for gap, timestamp, missing in steps:
        now += gap
        pace.step(timestamp, now, 90000, missing)
    assert 0 <= pace.freeze_seconds <= now - 5.0 + 1e-6
    assert pace.freezes <= pace.frames <= len(steps)
    assert threshold(pace.average) >= max(0.15, 3 * pace.average)


def test_a_slot_freezes_while_its_source_goes_on() -> None:
    watch = Watch()
    limit = threshold(1 / 30)
    looks = [0.1 * n for n in range(1, 21)]
    for now in looks[:10]:
        watch.look(int(now * 30), True, limit, now)
    assert watch.freezes == 0
    for now in looks[10:]:
        watch.look(7, True, limit, now)
    assert watch.freezes == 1 and 0.7 < watch.freeze_seconds <= 1.0
    for now in (2.1, 2.5, 3.0):  # the source itself has stopped: not this line's doing
        watch.look(7, False, limit, now)
    assert watch.freezes == 1 and watch.freeze_seconds <= 1.0


def test_the_server_knows_when_it_was_late() -> None:
    stalls = Stalls()
    clock = itertools.accumulate(itertools.repeat(0.02))
    for now in itertools.islice(clock, 200):
        assert stalls.tick(now, 0.02) == 0
    assert stalls.tick(4.0 + 0.62, 0.02) == pytest.approx(0.6)
    for step in range(1, 60):
        stalls.tick(4.62 + 0.02 * step, 0.02)
    assert stalls.count == 1 and stalls.share > 0.05
    stalls.pause()
    assert stalls.tick(1000.0, 0.02) == 0  # nobody was there to be late for


def test_an_undisturbed_line_has_the_best_score_and_no_cause() -> None:
    good = line(stream(), stream(kind="audio"), stream("out"), stream("out", kind="audio"))
    assert quality_of(good) == (5, None)
    assert quality_of(line()) == (5, None)


@pytest.mark.parametrize(
    ("stats", "cause"),
    [
        (line(stream(loss=0.2), stream("out")), "uplink"),
        (line(stream(kind="audio", loss=0.15), stream("out")), "uplink"),
        (line(stream(frozen=0.2), stream("out")), "uplink"),
        (line(stream(), stream("out", loss=0.2)), "downlink"),
        (line(stream(), stream("out", paused=True, bitrate_bps=0.0, height=0)), "downlink"),
        (line(stream(), stream("out", kind="audio", rtt_seconds=1.2)), "downlink"),
        (line(stream(), stream("out", height=180, bitrate_bps=30_000.0)), "downlink"),
        (line(stream(frozen=0.2), stream("out", frozen=0.2), stalled=0.1), "server"),
        (line(stream(), stream("out"), silent_seconds=4.0), "uplink"),
    ],
)
def test_the_cause_is_named(stats: PeerStats, cause: str) -> None:
    score, named = quality_of(stats)
    assert score <= 3 and named == cause


def test_of_simulcast_layers_the_one_in_use_counts() -> None:
    starving = stream(rid="q", ssrc=2, height=180, bitrate_bps=100.0)
    assert quality_of(line(stream(rid="f"), starving)) == (5, None)


@given(shares, shares, shares, st.floats(0, 3), st.floats(0, 3))
def test_worse_is_never_better(one: float, other: float, frozen: float, rtt: float, more: float) -> None:
    less_loss, loss = sorted((one, other))
    for kind in ("audio", "video"):
        better = stream(kind=kind, loss=less_loss, frozen=frozen / 2, rtt_seconds=rtt)
        worse = stream(kind=kind, loss=loss, frozen=frozen, rtt_seconds=rtt + more)
        assert 1 <= stream_score(worse) <= stream_score(better) + 1e-9 <= 5 + 1e-6


@given(
    st.lists(
        st.builds(
            stream,
            st.sampled_from(["in", "out"]),
            st.sampled_from(["audio", "video"]),
            loss=shares,
            frozen=shares,
            bitrate_bps=st.floats(0, 1e9),
            height=st.integers(0, 5000),
            best_height=st.integers(0, 5000),
            frame_rate=st.floats(0, 1000),
            jitter_seconds=st.floats(0, 1e5),
            rtt_seconds=st.one_of(st.none(), st.floats(0, 100)),
            paused=st.booleans(),
        ),
        max_size=6,
    ),
    shares,
    st.floats(0, 1e6),
)
def test_whatever_the_figures_there_is_a_score_and_below_four_a_cause(
    streams: list[StreamStats], stalled: float, silent: float
) -> None:
    score, cause = quality_of(line(*streams, stalled=stalled, silent_seconds=silent))
    assert 1 <= score <= 5 and (cause is not None) == (score < 4)


async def test_a_frozen_publisher_shows_in_his_statistics(world: World) -> None:
    ann, _zoe = await pair(world)
    for number in range(12):
        ann.send(rtp(50, VP8_PT, number, number * FRAME, DELTA if number else KEYFRAME, mid="1", marker=True))
    counters = world.server.counters
    await ann.until(lambda: any(s.frames == 12 for s in of(world, "ann")))
    frozen_until = monotonic() + 0.3
    await ann.until(lambda: monotonic() > frozen_until)
    ann.send(rtp(50, VP8_PT, 12, 12 * FRAME, DELTA, mid="1", marker=True))
    await ann.until(lambda: counters().freezes_in == 1)
    incoming = next(s for s in of(world, "ann") if s.kind == "video" and s.direction == "in")
    assert incoming.freezes == 1 and 0.3 <= incoming.freeze_seconds < 5


async def test_loss_told_by_the_receiver_is_his_downlink(world: World) -> None:
    ann, zoe = await pair(world)
    slot = next(s for s in of(world, "zoe") if s.direction == "out" and s.kind == "audio")
    for _ in range(12):
        zoe.send_rtcp(write_receiver_report(1, (ReportBlock(slot.ssrc, 128, 50, 100, 0, 0, 0),)))
    for sequence in range(20, 200):  # the bit rate is measured from one second's report to the next
        speak(ann, sequence)
        speak(zoe, sequence)  # or her own silence would be the cause
        if judged(world, "zoe") == "downlink":
            break
        await zoe.until(lambda n=sequence: any(p.payload == b"opus-%d" % n for p in zoe.rtp))  # type: ignore[misc]
        after = monotonic() + 0.05
        await zoe.until(lambda t=after: monotonic() > t)  # type: ignore[misc]
    assert judged(world, "zoe") == "downlink"
    assert judged(world, "ann") is None
    counts = world.server.counters().quality_counts
    assert sum(counts) > 2 and sum(counts[:3]) >= 1


def of(world: World, participant: str) -> tuple[StreamStats, ...]:
    return next(p.streams for p in world.server.peer_stats("room") if p.participant_id == participant)


def judged(world: World, participant: str) -> str | None:
    return next(p.cause for p in world.server.peer_stats("room") if p.participant_id == participant)
