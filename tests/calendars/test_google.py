"""Google's ways of saying no, and what of a calendar counts as busy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from server.base.clock import SteppedClock
from server.integrations.calendars import rest
from server.integrations.calendars.google import GoogleCalendar, google_service
from server.integrations.calendars.protocol import CalendarAway, CalendarRefused, Credentials, GrantRevoked
from server.oauth import OAuthClient
from tests.calendars.test_contract import ENTRY, NOW, SPAN
from tests.support.fake_google import CLIENT_ID, CLIENT_SECRET, FakeGoogle

CLOCK = SteppedClock(NOW)


class Kept:
    """Remembers what was kept."""

    def __init__(self) -> None:
        self.latest: Credentials | None = None

    async def __call__(self, credentials: Credentials) -> None:
        self.latest = credentials


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def calendar(google: FakeGoogle, kept: Kept) -> AsyncIterator[GoogleCalendar]:
    async with aiohttp.ClientSession() as http:
        access, refresh = google.grant()
        credentials = Credentials(access, refresh, NOW + timedelta(hours=1))
        service = google_service(OAuthClient(CLIENT_ID, CLIENT_SECRET, google.base))
        yield GoogleCalendar(http, CLOCK, service, credentials, kept)


async def test_a_token_that_ended_is_refreshed_once_and_kept(
    google: FakeGoogle, calendar: GoogleCalendar, kept: Kept
) -> None:
    google.expire_access()
    await calendar.create(ENTRY)
    assert google.refreshes == 1 and len(google.shown) == 1
    assert kept.latest is not None and kept.latest.access_token in google.access
    assert kept.latest.refresh_token in google.refresh  # Google sends it only the first time
    assert kept.latest.expires_at == NOW + timedelta(hours=1)
    await calendar.find(ENTRY.id)
    assert google.refreshes == 1


async def test_a_token_about_to_end_is_refreshed_before_it_is_used(google: FakeGoogle, kept: Kept) -> None:
    access, refresh = google.grant()
    async with aiohttp.ClientSession() as http:
        service = google_service(OAuthClient(CLIENT_ID, CLIENT_SECRET, google.base))
        ending = Credentials(access, refresh, NOW + timedelta(seconds=30))
        await GoogleCalendar(http, CLOCK, service, ending, kept).find(ENTRY.id)
    assert google.refreshes == 1 and len(google.calls) == 1


async def test_a_new_token_that_is_refused_is_the_end(google: FakeGoogle, calendar: GoogleCalendar) -> None:
    google.fail((401, "authError", {}), (401, "authError", {}))
    with pytest.raises(GrantRevoked):
        await calendar.find(ENTRY.id)
    assert google.refreshes == 1


@pytest.mark.parametrize(
    ("status", "reason", "header", "asked"),
    [
        (403, "rateLimitExceeded", "30", timedelta(seconds=30)),
        (403, "userRateLimitExceeded", None, None),
        (
            429,
            "rateLimitExceeded",
            format_datetime(NOW + timedelta(minutes=2), usegmt=True),
            timedelta(minutes=2),
        ),
        (429, "rateLimitExceeded", "99999999", timedelta(hours=1)),
        (500, "backendError", None, None),
        (503, "backendError", "7", timedelta(seconds=7)),
        (503, "backendError", "soon", None),
    ],
)
async def test_not_now_is_not_never(
    google: FakeGoogle,
    calendar: GoogleCalendar,
    status: int,
    reason: str,
    header: str | None,
    asked: timedelta | None,
) -> None:
    google.fail((status, reason, {} if header is None else {"Retry-After": header}))
    with pytest.raises(CalendarAway) as away:
        await calendar.create(ENTRY)
    assert away.value.retry_after == asked
    await calendar.create(ENTRY)


async def test_a_refusal_is_one(google: FakeGoogle, calendar: GoogleCalendar) -> None:
    google.fail((403, "forbidden", {}), (400, "badRequest", {}))
    for _ in range(2):
        with pytest.raises(CalendarRefused):
            await calendar.create(ENTRY)


async def test_a_slow_answer_is_none(
    google: FakeGoogle, calendar: GoogleCalendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    release = google.hang()
    with pytest.raises(CalendarAway, match="TimeoutError"):
        await calendar.find(ENTRY.id)
    release.set()


async def test_a_wrong_client_secret_takes_nobodys_permission(google: FakeGoogle, kept: Kept) -> None:
    access, refresh = google.grant()
    google.expire_access()
    async with aiohttp.ClientSession() as http:
        service = google_service(OAuthClient(CLIENT_ID, "mistyped", google.base))
        calendar = GoogleCalendar(http, CLOCK, service, Credentials(access, refresh), kept)
        with pytest.raises(CalendarAway, match="invalid_client"):
            await calendar.find(ENTRY.id)


async def test_what_takes_no_time_is_not_busy(google: FakeGoogle, calendar: GoogleCalendar) -> None:
    start, end = NOW + timedelta(days=1), NOW + timedelta(days=1, hours=1)
    google.put("transparent", start, end, transparency="transparent")
    google.put("declined", start, end, attendees=[{"self": True, "responseStatus": "declined"}])
    google.put("accepted", start, end, attendees=[{"self": True, "responseStatus": "accepted"}])
    google.put("wherework", start, end, eventType="workingLocation")
    google.put("nothing", start, start)
    google.put("cancelled", start, end)
    google.cancel("cancelled")
    found = await calendar.changes(None, *SPAN)
    assert [it.id for it in found.busy] == ["accepted"]
    # Declined later: no longer busy.
    google.put("accepted", start, end, attendees=[{"self": True, "responseStatus": "declined"}])
    later = await calendar.changes(found.cursor, *SPAN)
    assert (later.busy, later.free) == ((), frozenset({"accepted"}))


async def test_whole_days_are_those_of_the_calendars_zone(
    google: FakeGoogle, calendar: GoogleCalendar
) -> None:
    google.zone = "Asia/Kolkata"
    google.put_days("leave", "2026-03-05", "2026-03-07")
    [leave] = (await calendar.changes(None, *SPAN)).busy
    assert leave.start == datetime(2026, 3, 4, 18, 30, tzinfo=UTC)
    assert leave.end == datetime(2026, 3, 6, 18, 30, tzinfo=UTC)


async def test_every_page_is_read(google: FakeGoogle, calendar: GoogleCalendar) -> None:
    google.page = 3
    for number in range(8):
        google.put(f"event{number}", NOW + timedelta(days=number), NOW + timedelta(days=number, hours=1))
    found = await calendar.changes(None, *SPAN)
    assert len(found.busy) == 8 and len(google.calls) == 3


async def test_the_event_leads_to_our_room(google: FakeGoogle, calendar: GoogleCalendar) -> None:
    await calendar.create(ENTRY)
    [event] = google.shown
    assert event["location"] == event["source"]["url"] == ENTRY.url and ENTRY.url in event["description"]
    assert event["summary"] == "Careers: Jonas Weber"
    assert event["start"]["dateTime"] == "2026-03-04T09:00:00Z"
