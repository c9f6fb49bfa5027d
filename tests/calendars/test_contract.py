"""What every client of a calendar promises, whatever it speaks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from server.base.clock import SteppedClock
from server.integrations.calendars.dav import DavCalendar
from server.integrations.calendars.google import GoogleCalendar, google_service
from server.integrations.calendars.graph import GraphCalendar, graph_service
from server.integrations.calendars.protocol import (
    Calendar,
    Credentials,
    CursorLost,
    Entry,
    EventChanged,
    EventExists,
    EventGone,
    GrantRevoked,
    entry_id,
)
from server.oauth import OAuthClient
from tests.support import fake_graph as graph_support
from tests.support.fake_google import CLIENT_ID, CLIENT_SECRET, FakeGoogle
from tests.support.fake_graph import FakeGraph
from tests.support.radicale import Radicale

UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SPAN = (NOW - timedelta(days=1), NOW + timedelta(days=400))
ENTRY = Entry(
    entry_id("0192f0c17c3a70008000000000000001"), NOW + timedelta(days=2), NOW + timedelta(days=2, hours=1),
    "Careers: Jonas Weber", "Join at https://visavis.test/sessions/1", "https://visavis.test/sessions/1",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """A client, and hands on the other side of it."""

    calendar: Calendar
    put: Callable[[str, datetime, datetime], None]  # the owner writes an event
    remove: Callable[[str], None]  # the owner removes one, ours or theirs
    touch: Callable[[str], None]  # the owner changes one of ours
    forget: Callable[[], None]  # what cursors remember
    revoke: Callable[[], None]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
def over_google(google: FakeGoogle, http: aiohttp.ClientSession) -> Bench:
    service = google_service(OAuthClient(CLIENT_ID, CLIENT_SECRET, google.base))
    access, refresh = google.grant()
    credentials = Credentials(access_token=access, refresh_token=refresh)
    calendar = GoogleCalendar(http, SteppedClock(NOW), service, credentials, forgetful)
    return Bench(
        calendar, google.put, google.cancel, google.touch, google.forget_sync_tokens, google.revoke_all
    )


@pytest.fixture
async def over_caldav(radicale: Radicale, http: aiohttp.ClientSession) -> Bench:
    account = radicale.account()
    known = Credentials(url=radicale.base, username=account.name, password=account.password)
    clock = SteppedClock(NOW)
    found = await DavCalendar(http, clock, known, UTC_ZONE, local=True).discover()
    calendar = DavCalendar(http, clock, found, UTC_ZONE, local=True)
    return Bench(
        calendar,
        account.put,
        account.remove,
        account.touch,
        account.forget_sync_tokens,
        account.change_password,
    )


@pytest.fixture
def over_graph(graph: FakeGraph, http: aiohttp.ClientSession) -> Bench:
    service = graph_service(OAuthClient(graph_support.CLIENT_ID, graph_support.CLIENT_SECRET, graph.base))
    credentials = Credentials(*graph.grant())
    calendar = GraphCalendar(http, SteppedClock(NOW), service, credentials, forgetful, UTC_ZONE)
    return Bench(calendar, graph.put, graph.cancel, graph.touch, graph.forget_delta_links, graph.revoke_all)


@pytest.fixture(params=["google", "graph", "caldav"])
def bench(request: pytest.FixtureRequest) -> Bench:
    made = request.getfixturevalue(f"over_{request.param}")
    assert isinstance(made, Bench)
    return made


async def forgetful(_: Credentials) -> None:
    """Keeps nothing."""


async def test_it_tells_what_is_there_then_only_what_is_new(bench: Bench) -> None:
    bench.put("dentist", NOW, NOW + timedelta(hours=1))
    bench.put("holiday", NOW + timedelta(days=3), NOW + timedelta(days=4))
    first = await bench.calendar.changes(None, *SPAN)
    assert first.whole and len(first.busy) == 2
    dentist = min(first.busy, key=lambda it: it.start)
    assert (dentist.start, dentist.end, dentist.title) == (NOW, NOW + timedelta(hours=1), "Dentist")

    bench.put("lunch", NOW + timedelta(hours=3), NOW + timedelta(hours=4))
    bench.remove("dentist")
    second = await bench.calendar.changes(first.cursor, *SPAN)
    after = {it.id: it for it in second.busy}
    if not second.whole:
        after = {it.id: it for it in first.busy if it.id not in second.free} | after
    assert {it.start for it in after.values()} == {NOW + timedelta(hours=3), NOW + timedelta(days=3)}
    third = await bench.calendar.changes(second.cursor, *SPAN)
    assert not third.whole and not third.busy and not third.free


async def test_what_it_remembers_may_be_lost(bench: Bench) -> None:
    bench.put("dentist", NOW, NOW + timedelta(hours=1))
    cursor = (await bench.calendar.changes(None, *SPAN)).cursor
    bench.forget()
    with pytest.raises(CursorLost):
        await bench.calendar.changes(cursor, *SPAN)
    assert len((await bench.calendar.changes(None, *SPAN)).busy) == 1


async def test_our_events_are_not_busy_times(bench: Bench) -> None:
    cursor = (await bench.calendar.changes(None, *SPAN)).cursor
    await bench.calendar.create(ENTRY)
    assert not (await bench.calendar.changes(cursor, *SPAN)).busy
    assert not (await bench.calendar.changes(None, *SPAN)).busy


async def test_an_event_of_ours_is_written_once_changed_and_removed(bench: Bench) -> None:
    assert await bench.calendar.find(ENTRY.id) is None
    written = await bench.calendar.create(ENTRY)
    with pytest.raises(EventExists):
        await bench.calendar.create(ENTRY)
    assert await bench.calendar.find(ENTRY.id) == written
    moved = await bench.calendar.update(written, replace(ENTRY, start=NOW, end=NOW + timedelta(hours=2)))
    assert moved.etag != written.etag
    await bench.calendar.delete(moved)
    with pytest.raises((EventGone, EventChanged)):
        await bench.calendar.delete(moved)


async def test_whoever_knows_an_old_revision_changes_nothing(bench: Bench) -> None:
    old = await bench.calendar.create(ENTRY)
    bench.touch(ENTRY.id)
    with pytest.raises(EventChanged):
        await bench.calendar.update(old, ENTRY)
    with pytest.raises(EventChanged):
        await bench.calendar.delete(old)
    now = await bench.calendar.find(ENTRY.id)
    assert now is not None and now != old
    await bench.calendar.update(now, ENTRY)


async def test_an_event_that_was_removed_there_can_be_written_again(bench: Bench) -> None:
    old = await bench.calendar.create(ENTRY)
    bench.remove(ENTRY.id)
    with pytest.raises((EventGone, EventChanged)):
        await bench.calendar.update(old, ENTRY)
    known = await bench.calendar.find(ENTRY.id)
    back = await (bench.calendar.create(ENTRY) if known is None else bench.calendar.update(known, ENTRY))
    assert await bench.calendar.find(ENTRY.id) == back


async def test_without_the_permission_nothing_goes(bench: Bench) -> None:
    bench.revoke()
    with pytest.raises(GrantRevoked):
        await bench.calendar.changes(None, *SPAN)
    with pytest.raises(GrantRevoked):
        await bench.calendar.create(ENTRY)
