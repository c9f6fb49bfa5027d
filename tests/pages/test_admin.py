"""What an administrator sees in demo mode: the mails that would have left."""

from dataclasses import replace

import pytest
from playwright.async_api import expect

from server.app import listening, running
from server.base.clock import SteppedClock
from server.settings import Settings
from tests.pages.conftest import Site, Visit

pytestmark = pytest.mark.browser


async def test_the_inbox_is_searched_and_gives_its_calendar_files(site: Site, visit: Visit) -> None:
    world = site.world
    visitor = await visit(world.admin.email)
    page = visitor.page
    await visitor.goto("/dev/inbox")
    await page.get_by_label("Kind").select_option("booking_cancelled")
    await page.wait_for_url("**kind=booking_cancelled**")
    await expect(page.locator("details.mail")).to_have_count(2)
    await page.get_by_label("Search").fill(world.mentor.email)
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator("details.mail")).to_have_count(1)
    await visitor.goto(f"/dev/inbox?kind=booking_approved&q={world.completed.session_id}")
    await page.locator("details.mail summary").first.click()
    link = await page.get_by_role("link", name="Calendar file").first.get_attribute("href")
    answer = await page.request.get(site.url + str(link))
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert "BEGIN:VEVENT" in await answer.text()


async def test_outside_demo_mode_there_is_no_inbox(
    site: Site, visit: Visit, settings: Settings, clock: SteppedClock
) -> None:
    plain = replace(settings, demo=False, port=settings.port + 1, media_port=0)
    plain = replace(plain, public_url=f"http://{plain.host}:{plain.port}")
    async with running(plain, clock=clock) as app, listening(app, plain):
        visitor = await visit()
        visitor.site = replace(site, url=plain.public_url)
        await visitor.log_in(site.world.admin.email)
        assert await visitor.goto("/dev/inbox") == 404
        await expect(visitor.page.get_by_role("link", name="Dev inbox")).to_have_count(0)
        await visitor.goto("/login")
        await expect(visitor.page.get_by_role("button", name="Mentee")).to_have_count(0)
