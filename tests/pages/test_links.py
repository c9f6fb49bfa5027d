"""The pages behind links in mails, in a browser that has never logged in."""

from __future__ import annotations

from playwright.async_api import expect

from server.booking import actions as booking
from server.booking.model import Status
from server.people.model import Principal, Role
from server.sessions.links import links_for
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
