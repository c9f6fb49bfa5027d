"""The inbox and the bell: what comes appears where one is, leads where it should, and is read then."""

import re

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.pages.conftest import Site, Visit
from tests.support.inbox import put

pytestmark = pytest.mark.browser


async def test_a_message_comes_while_the_page_is_open_and_leads_to_its_session(
    site: Site, visit: Visit
) -> None:
    world, pool = site.world, site.ctx.pool
    await pool.execute("UPDATE notifications SET read_at = created_at WHERE channel = 'in_app'")
    visitor = await visit(world.mentee.email)
    page = visitor.page
    bell = page.locator("[data-bell]")
    await visitor.goto("/inbox")
    await expect(bell).to_have_accessible_name("Inbox")
    await expect(page.get_by_role("button", name="Mark all as read")).to_have_count(0)
    other = await page.context.new_page()
    await other.goto(f"{site.url}/bookings")
    for tab in (page, other):
        await expect(tab.locator("[data-bell][data-live=on]")).to_be_visible()
    url = f"{site.url}/bookings/{world.requested.id}"
    await put(pool, world.mentee.id, site.clock.now(), "Amara proposes another time", url=url, body=url)
    for tab in (page, other):  # both hear of it, with the count in the title
        await expect(tab).to_have_title(re.compile(r"^\(1\) .+ · Visavis$"))
        await expect(tab.locator("[data-bell]")).to_have_accessible_name("Inbox, 1 unread")
    await expect(other.locator("#bell-says")).to_have_text("New: Amara proposes another time")
    message = page.get_by_role("link", name="Unread: Amara proposes another time")
    await message.focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url(url)
    for tab in (page, other):
        await expect(tab.locator("[data-bell-count]")).to_be_hidden()
    await expect(other).to_have_title("Bookings · Visavis")
    # Marked all at once, without leaving the page.
    await put(pool, world.mentee.id, site.clock.now(), "One", "Two")
    await visitor.goto("/inbox")
    await page.get_by_role("button", name="Mark all as read").click()
    await expect(page.locator(".is-unread")).to_have_count(0)
    await expect(page.locator("[data-bell-count]")).to_be_hidden()
    await expect(page.get_by_text("All read")).to_be_visible()
    assert visitor.complaints == []


async def test_without_a_socket_the_bell_asks_once_a_minute_until_there_is_one(
    site: Site, visit: Visit
) -> None:
    """A proxy that lets no WebSocket through, and then does."""
    world, pool = site.world, site.ctx.pool
    await pool.execute("UPDATE notifications SET read_at = created_at WHERE channel = 'in_app'")
    visitor = await visit(world.mentee.email)
    page = visitor.page
    through = False

    async def proxy(route: WebSocketRoute) -> None:
        if through:
            route.connect_to_server()
        else:
            await route.close(code=1001)  # before any hello

    await page.route_web_socket(re.compile(r"/ws$"), proxy)
    await page.clock.install()
    await visitor.goto("/inbox")
    bell = page.locator("[data-bell]")
    await expect(bell).to_have_attribute("data-live", "off")
    await put(pool, world.mentee.id, site.clock.now(), "One", "Two")
    await expect(bell).to_have_accessible_name("Inbox")
    await page.clock.run_for(61_000)
    await expect(bell).to_have_accessible_name("Inbox, 2 unread")
    await expect(page.locator(".is-unread")).to_have_count(2)  # the page itself looks again, too
    await expect(bell).to_have_attribute("data-live", "off")
    through = True
    await page.clock.run_for(4_000)
    await expect(bell).to_have_attribute("data-live", "on")
    await put(pool, world.mentee.id, site.clock.now(), "Three")
    await expect(bell).to_have_accessible_name("Inbox, 3 unread")
