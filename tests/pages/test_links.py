"""The pages behind links in mails, in a browser that has never logged in."""

from __future__ import annotations

from playwright.async_api import expect

from server.booking import actions as booking
from server.booking.model import Status
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Principal, Role
from server.sessions import actions as sessions
from server.sessions import rebooking
from server.sessions.links import links_for, rebook_link
from tests.pages.conftest import Site, Visit


async def test_a_mentor_approves_from_a_mail_and_the_link_has_done_its_work(site: Site, visit: Visit) -> None:
    world = site.world
    link = links_for(site.ctx.settings, world.requested, world.mentor.id, site.ctx.clock.now())["approve"]
    path = "/links/" + link.rsplit("/", 1)[1]
    visitor = await visit(None)
    page = visitor.page
    await visitor.goto(path)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Agree to this time?")
    await page.get_by_role("button", name="Agree").click()
    await expect(page.locator("main")).to_contain_text("This link has done its work.")
    found = await booking.get(site.ctx, Principal(world.mentor.id, Role.MENTOR), world.requested.id)
    assert found.status is Status.APPROVED
    await visitor.goto("/links/nonsense")
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link does not work")


async def test_a_mentee_moves_a_request_from_a_mail(site: Site, visit: Visit) -> None:
    world = site.world
    link = links_for(site.ctx.settings, world.requested, world.mentee.id, site.ctx.clock.now())["move"]
    visitor = await visit(None)
    page = visitor.page
    await visitor.goto("/links/" + link.rsplit("/", 1)[1])
    await page.get_by_role("button", name="Propose it").click()
    await expect(page.locator("[data-error-for=start]")).not_to_be_empty()
    await page.get_by_label("New time").select_option(index=1)
    await page.get_by_role("button", name="Propose it").click()
    await expect(page.locator("main")).to_contain_text("This link has done its work.")
    found = await booking.get(site.ctx, Principal(world.mentee.id, Role.MENTEE), world.requested.id)
    assert found.start != world.requested.start


async def test_a_mentee_books_again_from_a_mail_and_a_time_that_was_taken_is_said(
    site: Site, visit: Visit
) -> None:
    world, ctx = site.world, site.ctx
    link = "/links/" + rebook_link(ctx.settings, world.no_show, ctx.clock.now()).rsplit("/", 1)[1]
    visitor = await visit(None, width=360)
    page = visitor.page
    async with ctx.pool.acquire() as conn:
        [first, second, *_] = await rebooking.times_in(conn, world.no_show, ctx.clock.now())
    await visitor.goto(f"{link}?at={int(first.start.timestamp()) + 60}")
    await expect(page.locator("main")).to_contain_text("taken meanwhile")
    await visitor.goto(f"{link}?at={int(first.start.timestamp())}")
    await expect(page.get_by_label("New time")).not_to_have_value("")
    await expect(page.locator("main")).to_contain_text("12 tokens, from your wallet")
    async with ctx.pool.acquire() as conn, conn.transaction():
        key = "grant:test:other"
        other = await people.register(
            ctx,
            email="other@demo.visavis.test",
            password="visavis-demo",
            name="Other",
            role="mentee",
            timezone="UTC",
        )
        await ledger.grant_in(conn, key=key, user_id=other.id, amount=50, memo="test", now=ctx.clock.now())
    await sessions.book(ctx, other.id, mentor_id=world.mentor.id, start=first.start, end=first.end)
    await page.get_by_role("button", name="Book it").click()
    await expect(page.locator(".form-error")).to_have_text("Something else is at that time.")
    await expect(page.locator("[data-link-times] option").first).to_have_text("Choose another time")
    await page.get_by_label("New time").select_option(index=2)
    await page.get_by_role("button", name="Book it").click()
    await expect(page.locator("main")).to_contain_text("This link has done its work.")
    found = await booking.list_for(ctx, Principal(world.mentee.id, Role.MENTEE), status=Status.REQUESTED)
    assert len(found.items) == 2 and second.start <= max(it.start for it in found.items)
