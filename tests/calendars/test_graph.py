"""Microsoft Graph's ways: series, whole days, delta links that die, throttling, transactions; and a session's life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from jobs.periodic import renew_calendars
from server.base.clock import SteppedClock
from server.base.errors import Conflict
from server.calendars import actions as calendars
from server.calendars.model import ConnectionStatus, Provider
from server.integrations.calendars.graph import WATCHED_FOR, GraphCalendar, graph_service
from server.integrations.calendars.protocol import (
    CalendarAway,
    CalendarRefused,
    Credentials,
    CursorLost,
    EventExists,
)
from server.oauth import OAuthClient, OAuthClients
from server.sessions import actions as sessions
from tests.calendars.conftest import Desk
from tests.calendars.test_contract import ENTRY, NOW, SPAN
from tests.calendars.test_google import Kept
from tests.support.fake_graph import ACCOUNT, CLIENT_ID, CLIENT_SECRET, FakeGraph

HOUR = timedelta(hours=1)
CLOCK = SteppedClock(NOW)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def calendar(graph: FakeGraph, kept: Kept) -> AsyncIterator[GraphCalendar]:
    async with aiohttp.ClientSession() as http:
        service = graph_service(OAuthClient(CLIENT_ID, CLIENT_SECRET, graph.base))
        credentials = Credentials(*graph.grant(), NOW + HOUR)
        yield GraphCalendar(http, CLOCK, service, credentials, kept, ZoneInfo("Asia/Kolkata"))


async def test_the_refresh_token_changes_with_every_use_and_is_kept(
    graph: FakeGraph, calendar: GraphCalendar, kept: Kept
) -> None:
    tokens = set()
    for number in range(1, 4):
        graph.expire_access()
        await calendar.find(ENTRY.id)
        assert kept.latest is not None and graph.refresh == {kept.latest.refresh_token}
        tokens.add(kept.latest.refresh_token)
        assert graph.refreshes == number
    assert len(tokens) == 3


async def test_occurrences_are_busy_as_their_series_says(graph: FakeGraph, calendar: GraphCalendar) -> None:
    starts = [NOW + timedelta(weeks=week) for week in range(3)]
    graph.put_series("standup", starts, HOUR)
    graph.put_series("gym", starts, HOUR, showAs="free")
    graph.page = 2  # the series master is on another page than its last occurrence
    first = await calendar.changes(None, *SPAN)
    assert [(it.start, it.title) for it in first.busy] == [(start, "Jour fixe") for start in starts]
    graph.cancel("standup.1")
    second = await calendar.changes(first.cursor, *SPAN)
    assert (second.busy, second.free) == ((), frozenset({"standup.1"}))
    # An occurrence that is told of without its master counts: better a time too few than a double booking.
    graph.put(
        "standup.2", starts[2] + HOUR, starts[2] + 2 * HOUR, type="occurrence", subject=None, showAs=None
    )
    [moved] = (await calendar.changes(second.cursor, *SPAN)).busy
    assert moved.start == starts[2] + HOUR


async def test_what_takes_no_time_is_not_busy(graph: FakeGraph, calendar: GraphCalendar) -> None:
    start, end = NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1)
    graph.put("free", start, end, showAs="free")
    graph.put("elsewhere", start, end, showAs="workingElsewhere")
    graph.put("declined", start, end, responseStatus={"response": "declined"})
    graph.put("off", start, end, isCancelled=True)
    graph.put("nothing", start, start)
    graph.put("perhaps", start, end, showAs="tentative", responseStatus={"response": "notResponded"})
    found = await calendar.changes(None, *SPAN)
    assert [it.id for it in found.busy] == ["perhaps"]
    graph.put("perhaps", start, end, showAs="free")
    later = await calendar.changes(found.cursor, *SPAN)
    assert (later.busy, later.free) == ((), frozenset({"perhaps"}))


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("W. Europe Standard Time", 1), ("America/New_York", -5), ("tzone://Microsoft/Custom", 5.5)],
)
async def test_whole_days_are_those_of_the_zone_they_were_written_in(
    graph: FakeGraph, calendar: GraphCalendar, zone: str, offset: float
) -> None:
    graph.put_days("leave", "2026-03-05", "2026-03-07", zone)
    [leave] = (await calendar.changes(None, *SPAN)).busy
    assert leave.start == datetime(2026, 3, 5, tzinfo=UTC) - timedelta(hours=offset)
    assert leave.end - leave.start == timedelta(days=2)


@pytest.mark.parametrize(
    "dead", [(410, "resyncRequired"), (400, "SyncStateNotFound"), (404, "syncStateNotFound")]
)
async def test_a_delta_link_dies_in_several_ways(
    graph: FakeGraph, calendar: GraphCalendar, dead: tuple[int, str]
) -> None:
    cursor = (await calendar.changes(None, *SPAN)).cursor
    graph.forget_delta_links()
    graph.dead_link = dead
    with pytest.raises(CursorLost):
        await calendar.changes(cursor, *SPAN)


async def test_a_link_that_leads_elsewhere_is_not_followed(graph: FakeGraph, calendar: GraphCalendar) -> None:
    graph.put("dentist", NOW, NOW + HOUR)
    graph.put("lunch", NOW, NOW + HOUR)
    graph.page, real = 1, graph.base
    graph.base = "http://evil.test"
    with pytest.raises(CalendarRefused):
        await calendar.changes(None, *SPAN)
    graph.base = real


async def test_a_creation_whose_answer_was_lost_makes_no_second_event(
    graph: FakeGraph, calendar: GraphCalendar
) -> None:
    first = await calendar.create(ENTRY)
    # As if the property could not be searched for yet: the transaction tells.
    hidden = graph.events[first.ref].pop("_properties")
    assert await calendar.create(ENTRY) == first
    graph.events[first.ref]["_properties"] = hidden
    with pytest.raises(EventExists):
        await calendar.create(ENTRY)
    [event] = graph.shown
    assert event["location"]["displayName"] == ENTRY.url and ENTRY.url in event["body"]["content"]
    # Removed by its owner, its transaction is spent; a new event has one of its own.
    graph.cancel(ENTRY.id)
    await calendar.create(ENTRY)
    [event] = graph.shown
    assert event["transactionId"].startswith(ENTRY.id) and event["transactionId"] != ENTRY.id


async def test_not_so_fast_is_honoured(graph: FakeGraph, calendar: GraphCalendar) -> None:
    graph.fail((429, "ApplicationThrottled", {"Retry-After": "40"}), (503, "serviceNotAvailable", {}))
    for asked in (timedelta(seconds=40), None):
        with pytest.raises(CalendarAway) as away:
            await calendar.changes(None, *SPAN)
        assert away.value.retry_after == asked


# ---------------------------------------------------------------- with bookings


@pytest.fixture
def office(desk: Desk, graph: FakeGraph) -> Desk:
    known = OAuthClients(microsoft=OAuthClient(CLIENT_ID, CLIENT_SECRET, graph.base))
    ours = replace(desk.ctx.settings, oauth=known)
    return replace(desk, story=replace(desk.story, ctx=replace(desk.ctx, settings=ours)))


async def join(desk: Desk, graph: FakeGraph) -> None:
    credentials = Credentials(*graph.grant())
    await calendars.connect(desk.ctx, desk.story.mentor.id, Provider.MICROSOFT, ACCOUNT, credentials)


async def test_a_session_lives_in_the_calendar_and_pushes_are_believed(
    office: Desk, graph: FakeGraph
) -> None:
    story, noon = office.story, office.ctx.clock.now().replace(hour=12) + timedelta(days=2)
    await join(office, graph)
    await office.work()
    [watched] = graph.subscriptions.values()
    assert watched.address == "https://visavis.test/integrations/microsoft/push"
    channel, _, token = watched.state.partition(":")
    graph.put("dentist", noon, noon + HOUR, subject="Den\0tist")
    await calendars.pushed(office.ctx, channel, token)
    assert await office.work() == 1
    with pytest.raises(Conflict):
        await story.request(noon)
    graph.cancel("dentist")
    await calendars.pushed(office.ctx, channel, token)
    await office.work()
    booked = await story.session(noon)
    await office.work()
    [event] = graph.shown
    # The answer to the writing was lost: it is found again.
    async with office.ctx.pool.acquire() as conn:
        await conn.execute("UPDATE calendar_events SET ref = NULL, etag = NULL, done = false")
        await conn.execute("UPDATE calendar_connections SET due_at = $1", story.clock.now())
    await office.work()
    assert [it["id"] for it in graph.shown] == [event["id"]]
    # Somebody takes off what we know it by: it is ours all the same.
    graph.events[event["id"]] |= {"transactionId": "x", "_at": 10**6}
    later = noon + timedelta(days=1)
    await sessions.reschedule(
        office.ctx, story.mentor.id, booked.id, start=later, end=later + HOUR, reason="train"
    )
    await sessions.approve(office.ctx, story.mentee.id, booked.id)
    await office.work()
    [moved] = graph.shown
    assert moved["id"] == event["id"] and moved["start"]["dateTime"].startswith(f"{later:%Y-%m-%dT12}")
    async with office.ctx.pool.acquire() as conn:
        assert await conn.fetchval("SELECT count(*) FROM external_busy") == 0
    await sessions.cancel(office.ctx, story.mentor.id, booked.id, reason="ill")
    await office.work()
    assert graph.shown == []


async def test_a_subscription_is_renewed_before_it_ends(office: Desk, graph: FakeGraph) -> None:
    await join(office, graph)
    await office.work()
    [first] = graph.subscriptions.values()
    expires = (await office.connection()).channel
    assert expires is not None and expires.expires_at == office.story.clock.now() + WATCHED_FOR
    office.story.clock.step(WATCHED_FOR - timedelta(hours=23))
    assert await renew_calendars(office.ctx) == 1
    [second] = graph.subscriptions.values()
    assert second.id != first.id


async def test_a_permission_that_is_gone_blocks_no_booking(office: Desk, graph: FakeGraph) -> None:
    noon = office.ctx.clock.now().replace(hour=12) + timedelta(days=2)
    graph.put("dentist", noon, noon + HOUR)
    await join(office, graph)
    await office.work()
    graph.revoke_all()
    office.story.clock.step(2 * HOUR)
    await office.work()
    assert (await office.connection()).status is ConnectionStatus.BROKEN
    await office.story.session(noon)
