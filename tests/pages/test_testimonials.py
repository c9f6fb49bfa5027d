"""Testimonials in a browser: said from a mail, read and published by keyboard, seen on the mentor's page."""

from __future__ import annotations

from playwright.async_api import expect

from server.testimonials import actions as testimonials
from tests.pages.conftest import Site, Visit


async def test_from_a_mail_to_the_mentors_page_by_keyboard(site: Site, visit: Visit) -> None:
    world, session = site.world, site.world.completed.session_id
    link = testimonials.link_for(site.ctx.settings, session, world.mentee.id, site.ctx.clock.now())
    author = await visit(None, width=360)
    await author.goto("/testimonials/" + link.rsplit("/", 1)[1])
    page = author.page
    await page.get_by_role("button", name="Send it").click()
    await expect(page.locator("[data-error-for=text]")).not_to_be_empty()
    await page.get_by_label("In your words").fill("Clear <b>advice</b>: https://spam.example")
    await page.get_by_label("4 stars").check()
    await page.get_by_role("button", name="Send it").click()
    await expect(page.locator("main")).to_contain_text("An administrator reads it")
    await expect(page.get_by_role("button", name="Take it back")).to_be_visible()

    admin = await visit("admin@demo.visavis.test")
    await admin.goto("/admin/testimonials")
    queue = admin.page
    await expect(queue.locator("[data-item]")).to_be_focused()
    await queue.keyboard.press("p")
    await expect(queue.get_by_role("heading", name="Nothing waits to be read")).to_be_visible()
    await queue.keyboard.press("u")
    await expect(queue.locator("[data-item]")).to_have_count(1)
    await queue.keyboard.press("p")
    await expect(queue.get_by_role("heading", name="Nothing waits to be read")).to_be_visible()

    await author.goto(f"/mentors/{world.mentor.id}")
    said = page.locator("#said")
    await expect(said).to_contain_text("Clear <b>advice</b>: https://spam.example")
    await expect(said).to_contain_text("Jonas · March 2026")
    await expect(said.locator("a[href*=spam], b")).to_have_count(0)
    await author.goto("/mentors")
    await expect(page.locator(".mentor-card", has_text="Amara Okafor")).to_contain_text("4.0")
    assert not author.complaints and not admin.complaints
