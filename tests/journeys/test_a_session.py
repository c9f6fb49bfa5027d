"""Two people in two browsers hold a booked session, and the money follows from what was observed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import aiohttp
import icalendar
import pytest
from playwright.async_api import Browser, Page, expect

from server.attendance.verdict import RULES
from server.trace.actions import story
from server.trace.model import render
from tests.journeys.people import PASSWORD, Moment, Person, person
from tests.journeys.world import Api, World, instant, transfers_of, world
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.browser

MENTOR_ZONE, MENTEE_ZONE = "Asia/Kolkata", "America/New_York"
SESSION = timedelta(minutes=5)
STORY = ("booked", "held", "approved", "mailed", "reminded", "joined", "left", "settled", "accrued", "paid")
ARTIFACTS = Path(__file__).parent.parent / "artifacts"


async def offer_hours(mentor: Person) -> None:
    """Five-minute sessions, every day from nine to five in the mentor's own zone, at any notice."""
    page = mentor.page
    await mentor.go("/availability")
    await page.get_by_label("Length of a session").fill("5")
    await page.get_by_label("Shortest notice").fill("0")
    # The week starts with what the page proposes; here all of it is replaced.
    while await page.get_by_role("button", name="Remove these hours").count():
        await page.get_by_role("button", name="Remove these hours").first.click()
    for day in range(7):
        fieldset = page.locator(f"[data-weekday='{day}']")
        await fieldset.locator("[data-add-window]").click()
        await fieldset.get_by_label("From").fill("09:00")
        await fieldset.get_by_label("Until").fill("17:00")
    await page.get_by_role("button", name="Save availability").click()
    await expect(page.get_by_text("Saved. Your open times are up to date.")).to_be_visible()


async def book(mentee: Person, mentor: Person) -> tuple[str, datetime, datetime]:
    """Find the mentor in the directory and book the first time of the second day; (booking id, start, end)."""
    page = mentee.page
    await mentee.go("/mentors")
    await page.get_by_role("searchbox").fill(mentor.name)
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=mentor.name).first.click()
    # Kolkata's nine to five is half past ten in the evening and later in New York: the page shows the reader's own.
    slot = page.locator("section.slot-day").nth(1).locator("button.slot").first
    start = instant(await slot.get_attribute("data-start"))
    end = instant(await slot.get_attribute("data-end"))
    shown = (await slot.inner_text()).strip().splitlines()[0]  # below it the time over there
    assert shown == f"{start.astimezone(ZoneInfo(MENTEE_ZONE)):%H:%M}", shown
    assert start.astimezone(ZoneInfo(MENTOR_ZONE)).hour in range(9, 17)
    await slot.click()
    await page.get_by_label("What is it about?").fill("My first product interview")
    await page.get_by_role("button", name="Request this time").click()
    await page.wait_for_url("**/bookings/*")
    return page.url.rsplit("/", 1)[1], start, end


async def approve(mentor: Person, mentee: Person) -> None:
    await mentor.go("/dashboard")
    request = mentor.page.locator("li.request", has_text=mentee.name)
    await request.get_by_role("button", name="Approve").click()
    await expect(request).to_have_count(0)


async def settled(page: Page, world: World, session_id: str) -> None:
    """The session's page, once the worker has settled it."""
    async with asyncio.timeout(30):
        while True:
            await page.goto(f"{world.url}/sessions/{session_id}")
            if await page.get_by_role("heading", name="How it ended").count():
                return
            await asyncio.sleep(0.5)


def next_closing(now: datetime) -> datetime:
    """Ten past midnight of the next 26th, UTC: the payroll is due."""
    closing = now.replace(day=26, hour=0, minute=10, second=0, microsecond=0)
    return closing if closing > now else (closing.replace(day=1) + timedelta(days=32)).replace(day=26)


async def booked_session(here: World, mentor: Person, mentee: Person) -> tuple[str, datetime, datetime]:
    """Steps one to three: registration, availability, booking, approval; (session id, start, end)."""
    await mentor.register("mentor")
    await mentee.register("mentee")
    await mentee.log_out_and_in()
    await offer_hours(mentor)
    booking_id, start, end = await book(mentee, mentor)
    async with aiohttp.ClientSession() as http:
        api = Api(http, here.url)
        await api.login(mentee.email, PASSWORD)
        wallet = await api.call("GET", "/wallet")
        booking = await api.call("GET", f"/bookings/{booking_id}")
        assert wallet["held_tokens"] == booking["price_tokens"]
        # The same time again is refused, with what is in the way.
        refused = await api.call(
            "POST",
            "/bookings",
            {
                "mentor_id": booking["mentor"]["id"],  # type: ignore[index]
                "start": start.isoformat(),
                "end": end.isoformat(),
            },
            status=409,
        )
        assert refused["code"] == "booking_conflict"
        assert refused["conflicts"][0]["id"] == booking_id  # type: ignore[index]
    await here.mails(mentor.email, "asks for a session")
    await approve(mentor, mentee)
    return str(booking["session_id"]), start, end


async def test_two_people_meet(environ: dict[str, str], smtp_server: SmtpServer, chromium: Browser) -> None:
    async with (
        world(environ, smtp_server) as here,
        person(chromium, here, "Asha Rao", MENTOR_ZONE) as mentor,
        person(chromium, here, "Ben Carter", MENTEE_ZONE) as mentee,
    ):
        session_id, start, end = await booked_session(here, mentor, mentee)

        # Both get a mail with an invitation for the same event.
        uids = set()
        for somebody in (mentor, mentee):
            (mail,) = await here.mails(somebody.email, "confirmed")
            (part,) = [p for p in mail.walk() if p.get_content_type() == "text/calendar"]
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            calendar = icalendar.Calendar.from_ical(content)
            assert isinstance(calendar, icalendar.Calendar)
            (event,) = calendar.events
            assert (event.start, event.end) == (start, end)
            uids.add(str(event["UID"]))
        assert len(uids) == 1

        # A few minutes before, one reminder each, however often the job runs.
        here.clock.jump_to(start - timedelta(minutes=4))
        for somebody in (mentor, mentee):
            await here.mails(somebody.email, "starts")
        await here.run_job("reminders")
        for somebody in (mentor, mentee):
            assert len(await here.mails(somebody.email, "starts")) == 1

        # They meet. Times are noted where they happen: in the browsers.
        here.clock.jump_to(start)
        mentor_in = await mentor.enter_room(session_id)
        mentee_in = await mentee.enter_room(session_id)
        await asyncio.gather(mentor.sees_and_hears(), mentee.sees_and_hears())
        await mentee.says("Hello Asha")
        await mentor.reads("Hello Asha")
        await mentor.says("Hello Ben, good to see you")
        await mentee.reads("Hello Asha", "Hello Ben, good to see you")
        ARTIFACTS.mkdir(exist_ok=True)
        await mentor.page.screenshot(path=ARTIFACTS / "session.png")

        # One reloads and returns: the chat is there, and so is the picture.
        mentee_gone = here.now()
        await mentee.page.reload()
        mentee_back = await mentee.join()
        await mentee.reads("Hello Asha", "Hello Ben, good to see you")
        await asyncio.gather(mentor.sees_and_hears(), mentee.sees_and_hears())

        # Long enough for the session to count: 5 % of five minutes is 15 s.
        await here.sleep_until(mentee_in.latest + timedelta(seconds=22))
        mentee_out = await mentee.leave()
        mentor_out = await mentor.leave()

        # What the SFU saw is what happened.
        async with aiohttp.ClientSession() as http:
            api = Api(http, here.url)
            await api.login(mentee.email, PASSWORD)
            async with asyncio.timeout(15):
                while True:
                    seen = await api.call("GET", f"/sessions/{session_id}/attendance")
                    rows = {row["role"]: row for row in seen["items"]}  # type: ignore[attr-defined]
                    if all(rows[role]["last_left_at"] for role in ("mentor", "mentee")):
                        break
                    await asyncio.sleep(0.2)
        assert len(rows) == 2
        assert mentor_in.is_when(rows["mentor"]["first_joined_at"]), (rows, mentor_in)
        assert mentor_out.is_when(rows["mentor"]["last_left_at"]), (rows, mentor_out)
        assert mentee_in.is_when(rows["mentee"]["first_joined_at"]), (rows, mentee_in)
        assert mentee_out.is_when(rows["mentee"]["last_left_at"]), (rows, mentee_out)
        away = rows["mentee"]["intervals"]
        assert len(away) == 2, away
        assert Moment(mentee_gone, mentee_gone).is_when(away[0]["to"])
        assert mentee_back.is_when(away[1]["from"])
        assert len(rows["mentor"]["intervals"]) == 1

        # The end: settled by the worker, shown to both, and the hold has become earning and fee.
        here.clock.jump_to(end + timedelta(minutes=20))
        await settled(mentor.page, here, session_id)
        await expect(mentor.page.locator("main")).to_contain_text("Completed")
        session = UUID(session_id)
        moved = await transfers_of(here, session)
        price = moved["hold"]
        assert moved == {"hold": price, "earning": moved["earning"], "fee": moved["fee"]}
        assert moved["earning"] + moved["fee"] == price > 0

        # The payroll closes the period once, and the payslip says what the ledger says.
        here.clock.jump_to(next_closing(here.now()))
        await here.mails(mentor.email, "payslip")
        before = await here.ctx.pool.fetchval("SELECT count(*) FROM transfers")
        await here.run_job("payroll")
        assert await here.ctx.pool.fetchval("SELECT count(*) FROM transfers") == before
        await mentor.log_out_and_in()
        await mentor.go("/payslips")
        await expect(mentor.page.locator("main")).to_contain_text(str(moved["earning"]))
        paid = await here.ctx.pool.fetchval(
            "SELECT sum(amount) FROM payslip_lines WHERE session_id = $1", session
        )
        assert paid == moved["earning"]
        assert await here.ctx.pool.fetchval("SELECT sum(balance) FROM accounts") == 0

        told = render(await story(here.ctx, session)).lower()
        place = 0
        for step in (
            "booked",
            "held",
            "approved",
            "mailed",
            "reminded",
            "joined",
            "media",
            "left",
            "settled",
            "accrued",
            "paid",
        ):
            place = told.find(f"  {step} ", place)
            assert place >= 0, f"{step} is missing, or too early:\n{told}"
        assert ": microphone on, camera on" in told  # what the rooms' pages said by themselves


async def test_only_the_mentor_comes(
    environ: dict[str, str], smtp_server: SmtpServer, chromium: Browser
) -> None:
    async with (
        world(environ, smtp_server) as here,
        person(chromium, here, "Asha Rao", MENTOR_ZONE) as mentor,
        person(chromium, here, "Ben Carter", MENTEE_ZONE) as mentee,
    ):
        session_id, start, end = await booked_session(here, mentor, mentee)
        here.clock.jump_to(start + timedelta(seconds=1))
        came = await mentor.enter_room(session_id)
        await here.sleep_until(came.latest + timedelta(seconds=17))
        await mentor.leave()

        here.clock.jump_to(end + RULES.grace)
        await settled(mentor.page, here, session_id)
        outcome = await here.ctx.pool.fetchval("SELECT outcome FROM sessions WHERE id = $1", UUID(session_id))
        assert outcome == "mentee_no_show"
        await here.mails(mentee.email, "missed")
        for job in ("session_status", "no_show", "reminders", "session_status"):
            await here.run_job(job)
        assert len(await here.mails(mentee.email, "missed")) == 1
        # She was there: the tokens are hers.
        moved = await transfers_of(here, UUID(session_id))
        assert moved["earning"] + moved["fee"] == moved["hold"]
        assert here.now().astimezone(UTC) > end
