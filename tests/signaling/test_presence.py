"""From the SFU's events to attendance: nothing is lost while the database is away, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from jobs.outbox import drain
from media.api import LeaveReason, PeerClosed, PeerJoined, PeerLeft, PresenceSample
from server.meetinglog import actions as meetinglog
from signaling import presence
from signaling.counters import Counters
from signaling.observer import LOOKS_BETWEEN, Observer
from signaling.presence import HEARTBEAT, AttendanceActions, Came, Heartbeat, PresenceSink, Switched, Went
from tests.signaling.conftest import Stage

AT = datetime(2026, 3, 3, 10, 0, tzinfo=UTC)
ROOM, USER = str(UUID(int=1)), str(UUID(int=2))


class Outage:
    """The attendance slice behind a database that is away until told otherwise, in one of the ways it can be."""

    def __init__(self, inner: AttendanceActions, trouble: Callable[[], Exception]) -> None:
        self.inner = inner
        self.trouble = trouble
        self.away = True
        self.tried = asyncio.Event()

    def _check(self) -> None:
        self.tried.set()
        if self.away:
            raise self.trouble()

    async def came(self, sighting: Came) -> None:
        self._check()
        await self.inner.came(sighting)

    async def went(self, sighting: Went) -> None:
        self._check()
        await self.inner.went(sighting)

    async def switched(self, sighting: Switched) -> None:
        self._check()
        await self.inner.switched(sighting)

    async def seen(self, heartbeats: Sequence[Heartbeat]) -> None:
        self._check()
        await self.inner.seen(heartbeats)


@asynccontextmanager
async def running(sink: PresenceSink) -> AsyncIterator[None]:
    task = asyncio.create_task(sink.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: ConnectionRefusedError("no server"),
        lambda: asyncpg.CannotConnectNowError("starting up"),
        lambda: asyncpg.AdminShutdownError("restarting"),
        TimeoutError,
    ],
)
async def test_a_database_that_is_away_for_a_while_loses_nothing(
    stage: Stage, trouble: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "FIRST_RETRY", 0.01)
    monkeypatch.setattr(presence, "LAST_RETRY", 0.05)
    outage = Outage(AttendanceActions(stage.world.ctx), trouble)
    counters = Counters()
    sink = PresenceSink(outage, list, counters, heartbeat=0.05)
    people = [stage.mentor.id, stage.mentee.id]
    async with running(sink):
        for n in range(20):
            at = AT + timedelta(seconds=10 * n)
            sink.take(Came(stage.session_id, people[n % 2], f"peer{n}", at))
            sink.take(Went(stage.session_id, people[n % 2], f"peer{n}", at + timedelta(seconds=5), "left"))
        await asyncio.wait_for(outage.tried.wait(), 5)
        assert not await sink.flush(0.2) and sink.waiting == 40
        assert await stage.presences() == []
        outage.away = False
        assert await sink.flush(10)
    stored = await stage.presences()
    assert [(p["joined_at"], p["left_at"], p["user_id"]) for p in stored] == [
        (AT + timedelta(seconds=10 * n), AT + timedelta(seconds=10 * n + 5), people[n % 2]) for n in range(20)
    ]
    assert counters.presence_written == 40 and counters.presence_retries > 0 and not counters.presence_lost


async def test_an_event_that_never_fits_does_not_hold_up_the_others(stage: Stage) -> None:
    counters = Counters()
    sink = PresenceSink(AttendanceActions(stage.world.ctx), list, counters)
    async with running(sink):
        sink.take(Came(uuid4(), stage.mentee.id, "stray", AT))  # there is no such session
        sink.take(Came(stage.session_id, stage.mentee.id, "peer", AT))
        assert await sink.flush(10)
    assert len(await stage.presences()) == 1
    assert counters.presence_lost == {"refused": 1}


async def test_a_backlog_refuses_new_media_before_it_loses_anything(stage: Stage) -> None:
    counters = Counters()
    sink = PresenceSink(AttendanceActions(stage.world.ctx), list, counters, backlog=2, limit=4)
    for n in range(5):
        assert sink.accepting is (n < 2)
        sink.take(Came(stage.session_id, stage.mentee.id, f"peer{n}", AT))
    assert sink.waiting == 4 and counters.presence_lost == {"overflow": 1}


async def test_heartbeats_keep_a_stay_alive(stage: Stage) -> None:
    beat = Heartbeat(stage.session_id, "peer", AT + timedelta(seconds=30), 29.0, 12.0)
    sink = PresenceSink(AttendanceActions(stage.world.ctx), lambda: [beat], Counters(), heartbeat=0.05)
    async with running(sink):
        sink.take(Came(stage.session_id, stage.mentee.id, "peer", AT))
        async with asyncio.timeout(10):
            while (found := await stage.presences()) == [] or found[0]["last_seen_at"] == AT:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert (found[0]["last_seen_at"], found[0]["talk_seconds"]) == (beat.at, 12.0)


async def test_what_is_switched_is_told_in_the_meeting_log_once(stage: Stage) -> None:
    ctx, sid, mentor = stage.world.ctx, stage.session_id, stage.mentor.id
    news = [Switched(sid, mentor, "peer", AT + timedelta(seconds=5), True, False)]
    sink = PresenceSink(
        AttendanceActions(ctx), list, Counters(), switches=lambda: news, heartbeat=0.05
    )  # fmt: skip
    async with running(sink):
        sink.take(Came(sid, mentor, "peer", AT))
        async with asyncio.timeout(10):
            while not await ctx.pool.fetchval(  # noqa: ASYNC110
                "SELECT count(*) FROM facts WHERE kind = 'media_switched'"
            ):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)  # the same is said with every beat
    await drain(ctx)
    entries = await meetinglog.of_session(ctx, sid)
    assert [(it.event.kind, it.words) for it in entries] == [
        ("joined", entries[0].words),
        ("media", f"{entries[0].words}: microphone on, camera off"),
    ]


def test_a_flapping_camera_writes_a_line_in_thirty_seconds_and_the_last_word_counts() -> None:
    observer = Observer(lambda _room: [])
    page: dict[str, tuple[bool, bool] | None] = {"peer": None}

    def look() -> list[tuple[bool, bool]]:
        return [(it.microphone, it.camera) for it in observer.switched(lambda _room, peer: page[peer], AT)]

    assert look() == []  # nobody is there
    observer.see(PeerJoined(ROOM, USER, "peer", 1000.0))
    assert look() == []  # an encoder has no page
    page["peer"] = (True, True)
    assert look() == [(True, True)] and look() == []
    told = []
    for n in range(720):  # an hour of heartbeats
        page["peer"] = (True, n % 3 == 0)
        told += look()
    assert 60 < len(told) <= 3600 / (LOOKS_BETWEEN * HEARTBEAT) == 120
    page["peer"] = (False, False)
    assert [it for _ in range(2 * LOOKS_BETWEEN) for it in look()][-1] == (False, False)
    observer.see(PeerLeft(ROOM, USER, "peer", 5000.0, LeaveReason.LEFT))
    assert look() == []


def test_each_stay_counts_by_itself() -> None:
    """The SFU's totals run on over a silence; the second stay's heartbeat must not contain the first."""
    totals = [PresenceSample(USER, "p", 100.0, 110.0, 10.0, 4.0)]
    observer = Observer(lambda room: totals)
    assert observer.see(PeerJoined(ROOM, USER, "p", 100.0)) == Came(
        UUID(ROOM), UUID(USER), "p", datetime.fromtimestamp(100, UTC)
    )
    assert [(h.media_seconds, h.talk_seconds) for h in observer.heartbeats()] == [(10.0, 4.0)]
    went = observer.see(PeerLeft(ROOM, USER, "p", 110.0, LeaveReason.MEDIA_SILENCE))
    assert isinstance(went, Went) and went.last is not None
    assert (went.reason, went.last.media_seconds, went.last.talk_seconds) == ("media_silence", 10.0, 4.0)
    assert observer.heartbeats() == []
    observer.see(PeerJoined(ROOM, USER, "p", 200.0))
    totals[0] = PresenceSample(USER, "p", 200.0, 203.0, 13.0, 5.0)
    assert [(h.media_seconds, h.talk_seconds) for h in observer.heartbeats()] == [(3.0, 1.0)]


def test_the_last_totals_survive_a_peer_that_is_gone_already() -> None:
    totals = [PresenceSample(USER, "p", 100.0, 108.0, 8.0, 6.0)]
    observer = Observer(lambda room: totals)
    observer.see(PeerJoined(ROOM, USER, "p", 100.0))
    observer.heartbeats()
    totals.clear()
    went = observer.see(PeerLeft(ROOM, USER, "p", 109.0, LeaveReason.DTLS_CLOSE))
    assert isinstance(went, Went) and went.last is not None
    assert (went.last.media_seconds, went.last.talk_seconds) == (9.0, 6.0)
    assert observer.see(PeerClosed(ROOM, USER, "p", LeaveReason.DTLS_CLOSE)) is None


def test_who_only_listens_sends_no_media() -> None:
    """Control packets make presence; sound and picture are counted by the stretches in which they came."""
    totals = [PresenceSample(USER, "p", 100.0, 105.0, 5.0, 0.0, 0)]
    observer = Observer(lambda room: totals)
    observer.see(PeerJoined(ROOM, USER, "p", 100.0))
    assert [h.media_seconds for h in observer.heartbeats()] == [0.0]
    totals[0] = PresenceSample(USER, "p", 100.0, 110.0, 10.0, 0.0, 40)
    assert [h.media_seconds for h in observer.heartbeats()] == [5.0]
    totals[0] = PresenceSample(USER, "p", 100.0, 115.0, 15.0, 0.0, 40)
    assert [h.media_seconds for h in observer.heartbeats()] == [5.0]
    went = observer.see(PeerLeft(ROOM, USER, "p", 118.0, LeaveReason.LEFT))
    assert isinstance(went, Went) and went.last is not None and went.last.media_seconds == 5.0
    observer.see(PeerJoined(ROOM, USER, "p", 200.0))  # again, and still silent
    totals[0] = PresenceSample(USER, "p", 200.0, 205.0, 23.0, 0.0, 40)
    assert [h.media_seconds for h in observer.heartbeats()] == [0.0]
    totals[0] = PresenceSample(USER, "p", 200.0, 206.0, 24.0, 0.0, 45)
    observer.heartbeats()
    totals.clear()
    went = observer.see(PeerLeft(ROOM, USER, "p", 208.0, LeaveReason.LEFT))
    assert isinstance(went, Went) and went.last is not None and went.last.media_seconds == 3.0
