"""A restriction in a browser: a banner, an appeal, an administrator's answer, and every page still fits."""

from __future__ import annotations

from datetime import timedelta

from playwright.async_api import expect

from server.base.ids import new_id
from server.conduct import actions as conduct
from tests.pages.conftest import Site, Visit
from tests.pages.test_tour import look


async def miss_twice_more(site: Site) -> None:
    """The world's mentee has missed one session already; told in one review, as after an outage of the workers."""
    world, pool, now = site.world, site.ctx.pool, site.ctx.clock.now()
    for days in (3, 5):
        booking, session, start = new_id(), new_id(), now - timedelta(days=days)
        await pool.execute(
            "INSERT INTO bookings (id, session_id, mentor_id, mentee_id, during, status, price_tokens, created_at,"
            " updated_at, seat_group) VALUES ($1, $2, $3, $4, tstzrange($5, $6), 'held', 0, $5, $5, $1)",
            booking, session, world.mentor.id, world.mentee.id, start, start + timedelta(minutes=30),
        )  # fmt: skip
        await pool.execute(
            "INSERT INTO sessions (id, mentor_id, mentee_id, starts_at, ends_at, status, outcome, settled_at,"
            " created_at) VALUES ($1, $2, $3, $4, $5, 'settled', 'mentee_no_show', $5, $4)",
            session, world.mentor.id, world.mentee.id, start, start + timedelta(minutes=30),
        )  # fmt: skip
    async with pool.acquire() as conn, conn.transaction():
        await conduct.review_in(conn, world.mentee.id, now)


async def test_a_banner_an_appeal_and_an_answer(site: Site, visit: Visit) -> None:
    await miss_twice_more(site)
    mentee = await visit("mentee@demo.visavis.test")
    await mentee.goto("/dashboard")
    page = mentee.page
    await expect(page.locator(".standing-notice")).to_contain_text(
        "you cannot book until Fri 10 Apr, 05:20 EDT"
    )
    faults = await look(mentee, "/standing", 200, "mentee-standing")
    await expect(page.locator(".standing-notice")).to_have_count(0)
    await page.get_by_role("button", name="Appeal").click()
    await expect(page.locator("[data-error-for=text]")).not_to_be_empty()
    await page.get_by_label("Is this not right?").fill("The power was out in our street.\nTwice.")
    await page.get_by_role("button", name="Appeal").click()
    await expect(page.locator("main")).to_contain_text("An administrator is looking at your appeal.")

    admin = await visit("admin@demo.visavis.test")
    faults += await look(admin, "/admin/conduct?show=restricted", 200, "admin-restricted")
    faults += await look(admin, "/admin/conduct", 200, "admin-appeals")
    assert not faults, "\n".join(faults)
    queue = admin.page
    await queue.get_by_role("button", name="Accept").click()
    await expect(queue.locator("[data-error-for=reason]")).not_to_be_empty()
    await queue.get_by_label("Reason").fill("There was an outage.")
    await queue.get_by_role("button", name="Accept").click()
    await expect(queue.get_by_role("heading", name="No appeal waits")).to_be_visible()
    await mentee.goto("/dashboard")
    await expect(page.locator(".standing-notice")).to_have_count(0)
    assert await conduct.restricted_until(site.ctx, site.world.mentee.id) is None
