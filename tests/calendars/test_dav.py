"""CalDAV against a real Radicale: what counts as busy, which calendars, and the life of a session's event there."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from jobs.periodic import renew_calendars
from server.base.clock import SteppedClock
from server.base.errors import Conflict, Invalid
from server.calendars import accounts, store
from server.calendars import actions as calendars
from server.calendars.model import LEASE, POLL, ConnectionStatus, Provider
from server.integrations.calendars import rest
from server.integrations.calendars.carrier import GuardedResolver, ServerForbidden, checked, forbidden
from server.integrations.calendars.dav import DavCalendar
from server.integrations.calendars.protocol import (
    CalendarAway,
    CalendarError,
    CalendarRefused,
    Credentials,
    GrantRevoked,
)
from server.sessions import actions as sessions
from tests.calendars.conftest import Desk
from tests.calendars.test_contract import ENTRY, NOW, SPAN
from tests.calendars.test_work import mails
from tests.support.radicale import Account, Radicale

HOUR = timedelta(hours=1)
KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.fixture
def account(radicale: Radicale) -> Account:
    return radicale.account()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


async def opened(http: aiohttp.ClientSession, account: Account, url: str = "") -> DavCalendar:
    known = Credentials(url=url or account.server.base, username=account.name, password=account.password)
    clock = SteppedClock(NOW)
    found = await DavCalendar(http, clock, known, KOLKATA, local=True).discover()
    return DavCalendar(http, clock, found, KOLKATA, local=True)


async def starts(calendar: DavCalendar) -> list[str]:
    found = await calendar.changes(None, *SPAN)
    return sorted(f"{it.start:%m-%d %H:%M}" for it in found.busy)


async def test_repeated_events_are_busy_when_they_take_place(
    http: aiohttp.ClientSession, account: Account
) -> None:
    account.put_lines(
        "jour-fixe",
        "DTSTART;TZID=Europe/Berlin:20260323T100000", "DURATION:PT1H",
        "RRULE:FREQ=WEEKLY;COUNT=5", "EXDATE;TZID=Europe/Berlin:20260406T100000",
        overrides="BEGIN:VEVENT\r\nUID:jour-fixe\r\nDTSTAMP:20260301T000000Z\r\n"
        "RECURRENCE-ID;TZID=Europe/Berlin:20260413T100000\r\nDTSTART:20260414T060000Z\r\nDTEND:20260414T070000Z\r\n"
        "END:VEVENT\r\nBEGIN:VEVENT\r\nUID:jour-fixe\r\nDTSTAMP:20260301T000000Z\r\nSTATUS:CANCELLED\r\n"
        "RECURRENCE-ID;TZID=Europe/Berlin:20260420T100000\r\nDTSTART:20260420T080000Z\r\nDTEND:20260420T090000Z\r\n"
        "END:VEVENT\r\n",
    )  # fmt: skip
    # 10:00 in Berlin, on both sides of the change of 29 March; one left out, one moved, one called off.
    assert await starts(await opened(http, account)) == ["03-23 09:00", "03-30 08:00", "04-14 06:00"]


async def test_what_takes_no_time_is_not_busy(http: aiohttp.ClientSession, account: Account) -> None:
    start = NOW + timedelta(days=1)
    account.put("free", start, start + HOUR, "TRANSP:TRANSPARENT")
    account.put("off", start, start + HOUR, "STATUS:CANCELLED")
    account.put("no", start, start + HOUR, f"ATTENDEE;PARTSTAT=DECLINED:mailto:{account.name}")
    account.put("yes", start, start + HOUR, f"ATTENDEE;PARTSTAT=ACCEPTED:mailto:{account.name}")
    account.put("nothing", start, start)
    account.put_lines("leave", "DTSTART;VALUE=DATE:20260305", "DTEND;VALUE=DATE:20260307", "SUMMARY:Leave")
    account.put_lines("floating", "DTSTART:20260309T090000", "DTEND:20260309T100000")
    found = await (await opened(http, account)).changes(None, *SPAN)
    assert [(it.start, it.end) for it in sorted(found.busy, key=lambda it: it.start)] == [
        (start, start + HOUR),
        # Whole days and floating times are the owner's own, in Kolkata.
        (datetime(2026, 3, 4, 18, 30, tzinfo=UTC), datetime(2026, 3, 6, 18, 30, tzinfo=UTC)),
        (datetime(2026, 3, 9, 3, 30, tzinfo=UTC), datetime(2026, 3, 9, 4, 30, tzinfo=UTC)),
    ]


async def test_all_calendars_of_the_account_are_read_and_the_chosen_one_is_written_to(
    http: aiohttp.ClientSession, account: Account
) -> None:
    account.make("aaa", "Work")
    account.make("tasks", "Tasks", "<C:supported-calendar-component-set><C:comp name=\"VTODO\"/>"
                 "</C:supported-calendar-component-set>")  # fmt: skip
    calendar = await opened(http, account)
    await calendar.create(ENTRY)
    assert len(account.ours()) == 1  # in Personal, the usual one
    first = await calendar.changes(None, *SPAN)
    replace(account, calendar="aaa").put("standup", NOW, NOW + HOUR)
    second = await calendar.changes(first.cursor, *SPAN)
    assert [it.title for it in second.busy] == ["Dentist"]
    # Our own event is no news.
    assert not (await calendar.changes(second.cursor, *SPAN)).whole


async def test_the_address_of_the_calendar_itself_and_of_the_person_will_do(
    http: aiohttp.ClientSession, account: Account
) -> None:
    for url in (account.url, f"{account.server.base}/{account.name}/", f"{account.server.base}/nowhere/"):
        await (await opened(http, account, url)).find(ENTRY.id)


async def test_the_way_leads_over_another_server_and_its_well_known_address(
    http: aiohttp.ClientSession, account: Account
) -> None:
    async def lead(request: web.Request) -> web.StreamResponse:
        raise web.HTTPMovedPermanently(f"{account.server.base}/")

    app = web.Application()
    app.router.add_route("*", "/.well-known/caldav", lead)
    async with TestServer(app) as front:
        calendar = await opened(http, account, f"http://{front.host}:{front.port}")
        await calendar.create(ENTRY)
    assert len(account.ours()) == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "224.0.0.1",
     "::ffff:169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "fe80::1%eth0"],
)  # fmt: skip
async def test_servers_are_not_called_at_addresses_of_the_machine_or_its_cloud(address: str) -> None:
    assert forbidden(address, local=False)
    with pytest.raises(ServerForbidden):
        checked(f"https://[{address}]/" if ":" in address else f"https://{address}/", local=False)


def test_other_addresses_are_called_encrypted() -> None:
    for good in ("https://192.168.1.20/dav", "https://[2001:db8::1]/", "https://cloud.example.org:8443/"):
        assert checked(good, local=False) == good
    for bad in (
        "http://cloud.example.org/",
        "ftp://x/",
        "https://",
        "https://me:secret@host/",
        "https://[/",
        "x",
    ):
        with pytest.raises(ServerForbidden, match="bad_url"):
            checked(bad, local=False)
    assert checked("http://127.0.0.1:5232/", local=True)
    with pytest.raises(ServerForbidden):
        checked("http://169.254.169.254/", local=True)


async def test_a_name_that_leads_to_this_machine_is_not_called() -> None:
    connections = aiohttp.TCPConnector(resolver=GuardedResolver(local=False))
    async with aiohttp.ClientSession(connector=connections) as http:
        known = Credentials(url="https://localhost:1/", username="a", password="b")
        with pytest.raises(ServerForbidden, match="address_refused"):
            await DavCalendar(http, SteppedClock(NOW), known, KOLKATA, local=False).discover()


@pytest.fixture
async def answering(http: aiohttp.ClientSession) -> AsyncIterator[Answering]:
    """A server that answers as it is told, and whoever speaks to it."""
    server = Answering()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        base = f"http://{running.host}:{running.port}"
        known = Credentials(url=base, username="a", password="b", write_to=f"{base}/c/")
        server.calendar = DavCalendar(http, SteppedClock(NOW), known, KOLKATA, local=True)
        yield server


class Answering:
    """See `answering`."""

    calendar: DavCalendar

    def __init__(self) -> None:
        self.calls = 0
        self.status, self.headers, self.body = 200, dict[str, str](), b""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        return web.Response(status=self.status, headers=self.headers, body=self.body)


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (302, {"Location": "http://169.254.169.254/latest/meta-data"}, ServerForbidden),
        (307, {"Location": "file:///etc/passwd"}, ServerForbidden),
        (301, {}, CalendarRefused),
        (401, {}, GrantRevoked),
        (403, {}, CalendarRefused),
        (429, {"Retry-After": "40"}, CalendarAway),
        (503, {}, CalendarAway),
    ],
)
async def test_servers_say_no_in_many_ways(
    answering: Answering, status: int, headers: dict[str, str], error: type[CalendarError]
) -> None:
    answering.status, answering.headers = status, headers
    with pytest.raises(error) as said:
        await answering.calendar.create(ENTRY)
    assert answering.calls == (4 if status == 301 else 1)  # in circles
    if status == 429:
        assert isinstance(said.value, CalendarAway) and said.value.retry_after == timedelta(seconds=40)


async def test_an_answer_without_end_or_sense_is_not_taken(answering: Answering) -> None:
    answering.body, answering.headers = b"x" * (rest.MOST + 1), {"Content-Type": "text/xml"}
    with pytest.raises(CalendarRefused, match="too long"):
        await answering.calendar.find(ENTRY.id)
    # A gigabyte that travels as a megabyte.
    answering.body = gzip.compress(b" " * 100_000_000, 1)
    answering.headers = {"Content-Encoding": "gzip", "Content-Type": "text/xml"}
    with pytest.raises(CalendarRefused, match="too long"):
        await answering.calendar.find(ENTRY.id)
    entity = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>'
    for body in (b"<html>Sign in</html>", b"<d", b"nothing", b"", entity, b'{"value": 1}'):
        answering.body, answering.headers = body, {"Content-Type": "text/xml"}
        with pytest.raises((CalendarAway, CalendarRefused)):
            await answering.calendar.changes(None, *SPAN)


# ---------------------------------------------------------------- with bookings


@pytest.fixture
def dav(desk: Desk) -> Desk:
    """An installation that may call servers on this machine."""
    ours = replace(desk.ctx.settings, demo=True)
    return replace(desk, story=replace(desk.story, ctx=replace(desk.ctx, settings=ours)))


async def join(desk: Desk, account: Account) -> None:
    await accounts.connect_account(
        desk.ctx, desk.story.mentor.id, account.server.base, account.name, account.password
    )


async def test_a_session_lives_in_the_calendar_and_the_calendar_blocks_bookings(
    dav: Desk, account: Account
) -> None:
    story, noon = dav.story, dav.ctx.clock.now().replace(hour=12) + timedelta(days=2)
    account.put("dentist", noon, noon + HOUR)
    await join(dav, account)
    assert await dav.work() == 1
    with pytest.raises(Conflict):
        await story.request(noon)
    account.remove("dentist")
    story.clock.step(POLL)
    assert await renew_calendars(dav.ctx) == 1  # there is no push: the poll finds it
    booked = await story.session(noon)
    await dav.work()
    [text] = account.ours()
    assert f"UID:visavis{booked.session_id.hex}" in text and f"/sessions/{booked.session_id}" in text

    # The answer to the writing was lost: it is found again.
    async with dav.ctx.pool.acquire() as conn:
        await conn.execute("UPDATE calendar_events SET ref = NULL, etag = NULL, done = false")
        await conn.execute("UPDATE calendar_connections SET due_at = $1", story.clock.now())
    await dav.work()
    assert len(account.ours()) == 1

    # Its owner chooses another calendar; the event moves there, once.
    account.make("work", "Work")
    await join(dav, account)
    connection = await dav.connection()
    choices = accounts.choices_of(dav.ctx, connection)
    assert choices is not None and [it.name for it in choices.all] == ["Personal", "Work"]
    work = replace(account, calendar="work")
    for _ in range(2):
        await accounts.choose(dav.ctx, story.mentor.id, connection.id, work.url)
        await dav.work()
        assert (len(account.ours()), len(work.ours())) == (0, 1)
    with pytest.raises(Invalid):
        await accounts.choose(dav.ctx, story.mentor.id, connection.id, account.url + "x")

    work.touch(f"visavis{booked.session_id.hex}")
    await sessions.cancel(dav.ctx, story.mentor.id, booked.id, reason="ill")
    await dav.work()
    assert work.ours() == []


async def test_a_password_that_ended_is_told_once_and_blocks_no_booking(dav: Desk, account: Account) -> None:
    noon = dav.ctx.clock.now().replace(hour=12) + timedelta(days=2)
    account.put("dentist", noon, noon + HOUR)
    await join(dav, account)
    await dav.work()
    account.change_password()
    dav.story.clock.step(HOUR)
    for _ in range(2):
        await dav.work()
    assert (await dav.connection()).status is ConnectionStatus.BROKEN
    booked = await dav.story.session(noon)
    await join(dav, account)  # with the new one
    await dav.work()
    assert (await dav.connection()).status is ConnectionStatus.ACTIVE
    assert len(account.ours()) == 1 and booked.session_id.hex in account.ours()[0]
    async with dav.ctx.pool.acquire() as conn:
        sealed = await conn.fetchval("SELECT credentials FROM calendar_connections")
    assert await mails(dav, "calendar_broken") == 1
    assert account.password.encode() not in sealed and account.name.encode() not in sealed


async def test_what_is_wrong_with_an_account_is_told_at_its_field(dav: Desk, account: Account) -> None:
    base, me = account.server.base, dav.story.mentor.id
    page = dav.google.base  # answers, and knows nothing of calendars
    for url, name, password, field, code in (
        ("http://[broken", account.name, account.password, "url", "bad_url"),
        ("ftp://example.org", account.name, account.password, "url", "bad_url"),
        ("http://169.254.169.254/latest", account.name, account.password, "url", "address_refused"),
        ("http://127.0.0.1:1/", account.name, account.password, "url", "unreachable"),
        (page, account.name, account.password, "url", "no_calendar"),
        (base, account.name, "wrong", "password", "wrong_password"),
        (base, "a:b", account.password, "username", "bad_username"),
    ):
        with pytest.raises(Invalid) as refused:
            await accounts.connect_account(dav.ctx, me, url, name, password)
        assert [(it.field, it.code) for it in refused.value.errors] == [(field, code)], url
    assert await calendars.of_person(dav.ctx, me) == []
    # In earnest this machine is not called at all.
    with pytest.raises(Invalid) as refused:
        earnest = replace(dav.ctx, settings=replace(dav.ctx.settings, demo=False))
        await accounts.connect_account(earnest, me, "https://127.0.0.1/", account.name, account.password)
    assert refused.value.errors[0].code == "address_refused"
    assert Provider.CALDAV not in calendars.providers(dav.ctx)  # needs no consent page


async def test_a_choice_made_while_a_worker_writes_is_not_lost(dav: Desk, account: Account) -> None:
    account.make("work", "Work")
    story, now = dav.story, dav.story.clock.now()
    await join(dav, account)
    await story.session(now.replace(hour=12) + timedelta(days=2))
    await dav.work()
    connection = await dav.connection()
    async with dav.ctx.pool.acquire() as conn:
        await conn.execute("UPDATE calendar_events SET done = false")
        await conn.execute("UPDATE calendar_connections SET due_at = $1", now)
        assert await store.claim(conn, now, now + LEASE) is not None
        [task] = await store.tasks(conn, connection.id, now, 10)
    await accounts.choose(dav.ctx, story.mentor.id, connection.id, replace(account, calendar="work").url)
    async with dav.ctx.pool.acquire() as conn:  # the worker has written it to the old one meanwhile
        await store.written(conn, connection.id, now + LEASE, task, task.event)
    await dav.work()
    assert (len(account.ours()), len(replace(account, calendar="work").ours())) == (0, 1)
