"""What a mentee does through the pages: come in, find, book, lose a race, move, cancel."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import expect

from server.booking import actions as booking
from server.booking.model import Status
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from tests.pages.conftest import Site, Visit
from tests.pages.world import PASSWORD

pytestmark = pytest.mark.browser


async def test_registering_shows_every_fault_beside_its_field_and_then_lets_in(
    site: Site, visit: Visit
) -> None:
    visitor = await visit(zone="Asia/Tokyo")
    page = visitor.page
    await visitor.goto("/register")
    await expect(page.get_by_label("Your time zone")).to_have_value("Asia/Tokyo")
    await page.get_by_label("Email").fill("not an address")
    await page.get_by_label("Password", exact=True).fill("short")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.locator("#e-email")).to_have_text("This is not an email address.")
    await expect(page.locator("#e-password")).to_have_text("Use at least 10 characters.")
    await expect(page.locator("#e-name")).to_have_text("Fill this in.")
    await expect(page.get_by_label("Email")).to_have_value("not an address")
    await expect(page.get_by_label("Your time zone")).to_have_value("Asia/Tokyo")
    await page.get_by_label("Your name").fill("Yuki Sato")
    await page.get_by_label("Email").fill("yuki@demo.visavis.test")
    await page.get_by_label("Password", exact=True).fill("a few unrelated words")
    await page.get_by_role("button", name="Create account").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Yuki")
    await expect(page.locator(".wallet-card")).to_contain_text("100")
    user = await people.authenticate(site.ctx, "yuki@demo.visavis.test", "a few unrelated words")
    assert (user.role, user.timezone) == (Role.MENTEE, "Asia/Tokyo")


async def test_an_address_that_is_taken_is_said_beside_the_address(site: Site, visit: Visit) -> None:
    visitor = await visit()
    await visitor.goto("/register?role=mentor")
    await expect(visitor.page.get_by_role("radio", name=re.compile("Mentor"))).to_be_checked()
    await visitor.page.get_by_label("Your name").fill("Jonas")
    await visitor.page.get_by_label("Email").fill(site.world.mentee.email)
    await visitor.page.get_by_label("Password", exact=True).fill(PASSWORD)
    await visitor.page.get_by_role("button", name="Create account").click()
    await expect(visitor.page.locator("#e-email")).to_contain_text("account with this address")


async def test_logging_in_refuses_then_returns_where_one_wanted_to_go_and_out_again(
    site: Site, visit: Visit
) -> None:
    visitor = await visit()
    page = visitor.page
    await visitor.goto("/bookings?show=past")
    assert page.url.startswith(f"{site.url}/login?next=")
    await page.get_by_label("Email").fill(site.world.mentee.email)
    await page.get_by_label("Password", exact=True).fill("not the password")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert").first).to_contain_text("do not belong together")
    await page.get_by_role("button", name="Mentee").click()  # the demo login fills and sends the form
    await page.wait_for_url("**/bookings?show=past")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Bookings")
    await page.locator("summary[aria-label^='Your account']").click()
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url(f"{site.url}/")
    await visitor.goto("/dashboard")
    assert "/login" in page.url


async def test_a_mentee_finds_a_mentor_and_books(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentee.email)
    page = visitor.page
    await visitor.goto("/mentors")
    await page.get_by_label("Search").fill("payment systems")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator(".mentor-card")).to_have_count(1)
    await page.get_by_role("link", name="Amara Okafor").click()
    await page.wait_for_url(f"**/mentors/{world.mentor.id}")
    monday = page.get_by_role("region", name="Monday 30 March 2026")
    await monday.get_by_role("button", name="05:00").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Mon 30 Mar, 05:00–05:30 EDT")
    await expect(dialog).to_contain_text("There: Mon 30 Mar, 11:00–11:30 CEST")
    await expect(dialog).to_contain_text("40 tokens")  # 52 in the wallet, less the price of 12
    await dialog.get_by_label("What is it about?").fill("Salary talks")
    await dialog.get_by_role("button", name="Request this time").click()
    await page.wait_for_url("**/bookings/*")
    await expect(page.locator("main")).to_contain_text("Waiting for approval")
    await expect(page.locator("#toasts")).to_contain_text("Requested. Amara Okafor will confirm it.")
    who = Principal(world.mentee.id, Role.MENTEE)
    newest = (await booking.list_for(site.ctx, who, status="requested")).items
    made = next(it for it in newest if it.topic == "Salary talks")
    assert made.start == datetime(2026, 3, 30, 9, 0, tzinfo=UTC)
    assert (await ledger.wallet(site.ctx, world.mentee.id)).balance_tokens == 40
    assert not visitor.complaints


async def test_losing_a_race_for_a_slot_says_so_and_shows_what_is_left(site: Site, visit: Visit) -> None:
    world = site.world
    rival = await people.register(
        site.ctx,
        email="rival@demo.visavis.test",
        password=PASSWORD,
        name="Rival",
        role="mentee",
        timezone="UTC",
    )
    await ledger.open_wallet(site.ctx, rival.id)
    visitor = await visit(world.mentee.email)
    await visitor.goto(f"/mentors/{world.mentor.id}")
    slot = visitor.page.locator("button.slot[data-start='2026-03-30T09:00:00Z']")
    await slot.click()
    start = datetime(2026, 3, 30, 9, tzinfo=UTC)
    await sessions.book(
        site.ctx, rival.id, mentor_id=world.mentor.id, start=start, end=start + timedelta(minutes=30)
    )
    await visitor.page.get_by_role("button", name="Request this time").click()
    await expect(visitor.page.locator(".toast-bad")).to_contain_text("open now")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await expect(slot).to_have_count(0)
    await expect(visitor.page.locator("button.slot").first).to_be_enabled()


async def test_cancelling_asks_for_a_reason_and_gives_the_tokens_back(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentee.email, width=360)
    page = visitor.page
    await visitor.goto(f"/bookings/{world.requested.id}")
    await page.get_by_role("button", name="Cancel session").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the session").click()
    await expect(page.get_by_role("dialog").locator("[data-error-for=reason]")).to_have_text("Fill this in.")
    await page.get_by_role("dialog").get_by_label("Reason").fill("I found the answer")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the session").click()
    await expect(page.locator("main")).to_contain_text("Cancelled: I found the answer")
    found = await booking.get(site.ctx, Principal(world.mentee.id, Role.MENTEE), world.requested.id)
    assert found.status is Status.CANCELLED
    assert (await ledger.wallet(site.ctx, world.mentee.id)).balance_tokens == 64


async def test_moving_picks_another_open_time(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.mentee.email)
    page = visitor.page
    await visitor.goto(f"/bookings/{world.requested.id}")
    await page.get_by_role("link", name="Choose another time").click()
    await page.locator("button.slot[data-start='2026-04-01T07:00:00Z']").click()
    await page.get_by_label("Why does it have to move?").fill("A dentist")
    await page.get_by_role("button", name="Move it").click()
    await page.wait_for_url(f"**/bookings/{world.requested.id}")
    await expect(page.locator("main")).to_contain_text("Wed 1 Apr, 03:00–03:30 EDT")
    await expect(page.locator("main")).to_contain_text("Wed 1 Apr, 09:00–09:30 CEST")


async def test_the_way_into_the_room_opens_in_time(site: Site, visit: Visit) -> None:
    """The link wakes up by itself: the page counts on the server's clock, not on the browser's."""
    world = site.world
    site.clock.set(world.open_now.start - timedelta(minutes=15, seconds=3))
    visitor = await visit(world.mentee.email)
    await visitor.goto("/dashboard")
    join = visitor.page.locator("a[data-room-opens]")
    await expect(join).to_have_attribute("aria-disabled", "true")
    await expect(visitor.page.locator("[data-countdown]")).to_contain_text("Starts in 15 min")
    await expect(join).to_have_attribute("href", f"/sessions/{world.open_now.session_id}/room")
    assert await join.get_attribute("aria-disabled") is None


async def test_the_chosen_theme_stays_without_a_flash(site: Site, visit: Visit) -> None:
    visitor = await visit()
    await visitor.goto("/")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await visitor.page.evaluate(paper)
    await visitor.page.get_by_role("button", name="Switch between light and dark").click()
    dark = await visitor.page.evaluate(paper)
    assert dark != light
    # The first paint already has it: the script is in the head and blocks.
    await visitor.page.goto(site.url + "/login", wait_until="commit")
    await visitor.page.wait_for_selector("h1", state="attached")
    assert await visitor.page.evaluate(paper) == dark
