"""A connected calendar in the life of bookings: read for conflicts, written at each step, and never in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from jobs.periodic import renew_calendars
from server.base.errors import Conflict
from server.calendars import actions as calendars
from server.calendars import store
from server.calendars.model import LEASE, ConnectionStatus
from server.calendars.work import work_due
from server.integrations.calendars.protocol import Credentials
from server.sessions import actions as sessions
from tests.calendars.conftest import Desk

HOUR = timedelta(hours=1)


@pytest.fixture
def noon(desk: Desk) -> datetime:
    """The day after tomorrow."""
    return desk.ctx.clock.now().replace(hour=12) + timedelta(days=2)


async def mails(desk: Desk, kind: str) -> int:
    async with desk.ctx.pool.acquire() as conn:
        found: int = await conn.fetchval(
            "SELECT count(*) FROM notifications WHERE kind = $1 AND channel = 'email'", kind
        )
        return found


async def busy_ids(desk: Desk) -> list[str]:
    async with desk.ctx.pool.acquire() as conn:
        rows = await conn.fetch("SELECT external_id FROM external_busy ORDER BY 1")
    return [row["external_id"] for row in rows]


async def test_what_stands_in_the_calendar_cannot_be_booked(desk: Desk, noon: datetime) -> None:
    desk.google.put("dentist", noon, noon + HOUR)
    await desk.connect()
    assert await desk.work() == 1
    with pytest.raises(Conflict) as refused:
        await desk.story.request(noon)
    [clash] = refused.value.extra["conflicts"]
    assert clash["kind"] == "calendar" and clash["title"] == "Busy"
    # It is cancelled there; the next look frees the time.
    desk.google.cancel("dentist")
    desk.story.clock.step(HOUR)
    await desk.work()
    await desk.story.request(noon)


async def test_a_session_is_written_moved_and_taken_back(desk: Desk, noon: datetime) -> None:
    await desk.connect()
    story = desk.story
    booked = await story.request(noon)
    await desk.work()
    assert desk.google.shown == []  # nobody has agreed yet
    await sessions.approve(desk.ctx, story.mentor.id, booked.id)
    await desk.work()
    [event] = desk.google.shown
    assert event["summary"] == "Careers: Jonas Weber"
    assert event["location"] == f"https://visavis.test/sessions/{booked.session_id}"

    moved_to = noon + timedelta(days=1)
    await sessions.reschedule(
        desk.ctx, story.mentee.id, booked.id, start=moved_to, end=moved_to + HOUR, reason="train"
    )
    await desk.work()
    assert desk.google.shown == [event]  # only proposed
    await sessions.approve(desk.ctx, story.mentor.id, booked.id)
    await desk.work()
    [moved] = desk.google.shown
    assert moved["id"] == event["id"] and moved["start"]["dateTime"].startswith(f"{moved_to:%Y-%m-%dT12}")

    await sessions.cancel(desk.ctx, story.mentor.id, booked.id, reason="ill")
    await desk.work()
    assert desk.google.shown == []
    # Nothing is left to do, and our own event was never a busy time.
    writes = [call for call in desk.google.calls if call[0] != "GET"]
    assert [method for method, path in writes if "/watch" not in path] == ["POST", "PATCH", "DELETE"]


async def test_both_people_see_it_in_their_own_calendars(desk: Desk, noon: datetime) -> None:
    await desk.connect()
    await desk.connect(desk.story.mentee)
    await desk.story.session(noon)
    async with desk.ctx.pool.acquire() as conn:
        await desk.work()
        titles = await conn.fetch("SELECT done, ref FROM calendar_events")
    assert [row["done"] for row in titles] == [True, True]


async def test_a_calendar_connected_later_gets_what_is_ahead(desk: Desk, noon: datetime) -> None:
    booked = await desk.story.session(noon)
    await desk.connect()
    await desk.work()
    [event] = desk.google.shown
    assert booked.session_id.hex in event["id"]


async def test_our_word_counts_when_the_event_was_changed_or_removed_there(
    desk: Desk, noon: datetime
) -> None:
    await desk.connect()
    story = desk.story
    booked = await story.session(noon)
    await desk.work()
    [event] = desk.google.shown
    desk.google.touch(event["id"])
    await move(desk, booked.id, noon + timedelta(days=1))
    [event] = desk.google.shown
    assert event["summary"] == "Careers: Jonas Weber"
    desk.google.cancel(event["id"])
    await move(desk, booked.id, noon + timedelta(days=2))
    [event] = desk.google.shown
    assert event["start"]["dateTime"].startswith(f"{noon + timedelta(days=2):%Y-%m-%dT12}")
    # And when somebody is quicker at the very moment.
    desk.google.before_write = lambda: desk.google.touch(event["id"])
    await sessions.cancel(desk.ctx, story.mentor.id, booked.id, reason="ill")
    await desk.work()
    assert desk.google.shown == []


async def move(desk: Desk, booking_id: UUID, start: datetime) -> None:
    story = desk.story
    await sessions.reschedule(
        desk.ctx, story.mentor.id, booking_id, start=start, end=start + HOUR, reason="later"
    )
    await sessions.approve(desk.ctx, story.mentee.id, booking_id)
    await desk.work()


async def test_an_answer_that_is_lost_writes_nothing_twice(desk: Desk, noon: datetime) -> None:
    """Google has written the event and we died before we knew."""
    await desk.connect()
    booked = await desk.story.session(noon)
    await desk.work()
    async with desk.ctx.pool.acquire() as conn:
        await conn.execute("UPDATE calendar_events SET ref = NULL, etag = NULL, done = false")
        await conn.execute("UPDATE calendar_connections SET due_at = $1", desk.story.clock.now())
    await desk.work()
    assert [event["id"] for event in desk.google.shown] == [f"visavis{booked.session_id.hex}"]


async def test_a_lost_sync_token_means_reading_everything_again(desk: Desk, noon: datetime) -> None:
    desk.google.put("dentist", noon, noon + HOUR)
    desk.google.put("lunch", noon + 2 * HOUR, noon + 3 * HOUR)
    await desk.connect()
    await desk.work()
    del desk.google.events["lunch"]  # while nobody could tell us
    desk.google.forget_sync_tokens()
    desk.story.clock.step(timedelta(hours=1))
    await desk.work()
    assert await busy_ids(desk) == ["dentist"]


async def test_a_calendar_that_is_away_is_asked_later_and_later_and_delays_no_booking(
    desk: Desk, noon: datetime
) -> None:
    await desk.connect()
    await desk.work()
    desk.google.fail((503, "backendError", {"Retry-After": "600"}))
    booked = await desk.story.session(noon)
    assert await desk.work() == 1
    connection = await desk.connection()
    assert connection.attempts == 1 and connection.error is not None and "503" in connection.error
    desk.story.clock.step(timedelta(seconds=599))
    assert await desk.work() == 0  # Retry-After is honoured
    desk.story.clock.step(timedelta(seconds=2))
    assert await desk.work() == 1
    assert [event["id"] for event in desk.google.shown] == [f"visavis{booked.session_id.hex}"]
    assert (await desk.connection()).attempts == 0


async def test_one_event_that_is_refused_keeps_no_other_from_being_written(
    desk: Desk, noon: datetime
) -> None:
    await desk.connect()
    await desk.work()
    await desk.story.session(noon)
    later = await desk.story.session(noon + timedelta(days=1))
    desk.google.fail((400, "badRequest", {}))
    await desk.work()
    assert [event["id"] for event in desk.google.shown] == [f"visavis{later.session_id.hex}"]
    calls = len(desk.google.calls)
    desk.story.clock.step(HOUR)
    await desk.work()
    assert len(desk.google.calls) == calls + 1  # the reading; what was refused is not tried again


async def test_a_revoked_permission_frees_the_times_and_is_told_once(desk: Desk, noon: datetime) -> None:
    desk.google.put("dentist", noon, noon + HOUR)
    await desk.connect()
    await desk.work()
    desk.google.revoke_all()
    desk.story.clock.step(HOUR)
    await desk.work()
    connection = await desk.connection()
    assert connection.status is ConnectionStatus.BROKEN
    assert await mails(desk, "calendar_broken") == 1
    # Nothing is known of it any more, and bookings go on.
    booked = await desk.story.session(noon)
    for _ in range(3):
        desk.story.clock.step(HOUR)
        await desk.work()
        await renew_calendars(desk.ctx)
    assert await mails(desk, "calendar_broken") == 1
    # Given again: read again, and what was booked meanwhile is written.
    await desk.connect()
    await desk.work()
    assert (await desk.connection()).status is ConnectionStatus.ACTIVE
    assert [event["id"] for event in desk.google.shown] == [f"visavis{booked.session_id.hex}"]
    desk.google.revoke_all()
    desk.story.clock.step(HOUR)
    await desk.work()
    assert await mails(desk, "calendar_broken") == 2


async def test_tokens_are_unreadable_in_the_database(desk: Desk) -> None:
    await desk.connect()
    async with desk.ctx.pool.acquire() as conn:
        sealed = await conn.fetchval("SELECT credentials FROM calendar_connections")
    for secret in (*desk.google.access, *desk.google.refresh, "refresh_token"):
        assert secret.encode() not in sealed


async def test_another_secret_key_opens_nothing_and_the_owner_is_told(desk: Desk) -> None:
    await desk.connect()
    other = replace(desk.ctx, settings=replace(desk.ctx.settings, secret_key="another key altogether"))
    await work_due(other)
    await desk.work()
    assert (await desk.connection()).status is ConnectionStatus.BROKEN
    assert desk.google.calls == [] and await mails(desk, "calendar_broken") == 1


async def test_disconnecting_hands_the_permission_back(desk: Desk, noon: datetime) -> None:
    desk.google.put("dentist", noon, noon + HOUR)
    connection = await desk.connect()
    await desk.work()
    assert desk.google.channels
    await calendars.disconnect(desk.ctx, desk.story.mentor.id, connection.id)
    assert await calendars.of_person(desk.ctx, desk.story.mentor.id) == []
    await desk.story.session(noon)  # the dentist is no longer ours to know
    await desk.work()
    assert (desk.google.refresh, desk.google.channels) == (set(), {})
    async with desk.ctx.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM calendar_connections") == 0


async def test_a_google_that_is_away_cannot_keep_anybody_connected(desk: Desk) -> None:
    connection = await desk.connect()
    await desk.work()
    await calendars.disconnect(desk.ctx, desk.story.mentor.id, connection.id)
    desk.google.fail(*[(503, "backendError", {})] * 10)
    for _ in range(4):
        await desk.work()
        desk.story.clock.step(HOUR)
    async with desk.ctx.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM calendar_connections") == 0


async def test_a_worker_that_died_is_relieved(desk: Desk) -> None:
    await desk.connect()
    now = desk.story.clock.now()
    async with desk.ctx.pool.acquire() as conn:
        assert await store.claim(conn, now, now + LEASE) is not None
    assert await desk.work() == 0
    desk.story.clock.step(LEASE)
    assert await desk.work() == 1
    assert (await desk.connection()).synced_at is not None


async def test_what_happens_during_a_look_is_looked_at_afterwards(desk: Desk) -> None:
    connection = await desk.connect()
    now = desk.story.clock.now()
    async with desk.ctx.pool.acquire() as conn:
        assert await store.claim(conn, now, now + LEASE) is not None
        await calendars.connect(
            desk.ctx, desk.story.mentor.id, connection.provider, connection.account, credentials(desk)
        )
        await store.release(conn, connection.id, now + LEASE, now + timedelta(hours=1), None)
    assert await desk.work() == 1


def credentials(desk: Desk) -> Credentials:
    access, refresh = desk.google.grant()
    return Credentials(access, refresh)


async def test_channels_are_renewed_before_they_end_and_the_old_one_is_ended(desk: Desk) -> None:
    await desk.connect()
    await desk.work()
    [first] = desk.google.channels.values()
    assert first.address == "https://visavis.test/integrations/google/push"
    desk.story.clock.step(timedelta(days=6, hours=1))
    assert await renew_calendars(desk.ctx) == 1
    [second] = desk.google.channels.values()
    assert desk.google.stopped == [first.id] and second.expiration > first.expiration
    assert await renew_calendars(desk.ctx) == 0


async def test_a_push_brings_the_news_and_a_forged_one_nothing(desk: Desk, noon: datetime) -> None:
    await desk.connect()
    await desk.work()
    [channel] = desk.google.channels.values()
    desk.google.put("dentist", noon, noon + HOUR)
    for wrong in ((channel.id, "forged"), ("", ""), (channel.id, channel.token.upper()), ("not a uuid", "x")):
        with pytest.raises(Exception, match="channel_unknown"):
            await calendars.pushed(desk.ctx, *wrong)
    assert await desk.work() == 0
    await calendars.pushed(desk.ctx, channel.id, channel.token)
    assert await desk.work() == 1
    with pytest.raises(Conflict):
        await desk.story.request(noon)


async def test_a_lost_push_costs_an_hour_and_no_more(desk: Desk, noon: datetime) -> None:
    await desk.connect()
    await desk.work()
    desk.google.put("dentist", noon, noon + HOUR)
    desk.story.clock.step(HOUR)
    assert await renew_calendars(desk.ctx) == 1
    with pytest.raises(Conflict):
        await desk.story.request(noon)


async def test_the_span_moves_on_with_time(desk: Desk) -> None:
    await desk.connect()
    await desk.work()
    first = (await desk.connection()).span_until
    desk.google.put(
        "far", desk.story.clock.now() + timedelta(days=410), desk.story.clock.now() + timedelta(days=411)
    )
    desk.story.clock.step(timedelta(days=31))
    await desk.work()
    second = (await desk.connection()).span_until
    assert first is not None and second == first + timedelta(days=31)
    assert await busy_ids(desk) == ["far"]
