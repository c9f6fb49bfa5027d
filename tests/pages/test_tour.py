"""Every page for every role, narrow and wide, light and dark: it loads, fits, says what it is, and nobody complains."""

import os
import re
from pathlib import Path
from typing import Any, Literal

import pytest

from server.booking.model import Booking
from server.confirmations import actions as confirmations
from server.confirmations.model import Answer, Question
from server.confirmations.tickets import Purpose, Ticket, Verb, write
from server.contact.address import verify_url
from server.notifications.model import Kind
from server.notifications.preferences import unsubscribe_url
from server.sessions.links import links_for, rebook_link
from server.testimonials import actions as testimonials
from tests.pages.conftest import Site, Visit, Visitor

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "pages"
PICTURES = (
    "VISAVIS_PICTURES" in os.environ
)  # a picture of every page, for whoever works on the design; takes a minute
PHONE, DESKTOP = 360, 1280
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def link_of(site: Site, action: str) -> str:
    """The token of a link in a mail to the mentee."""
    world = site.world
    links = links_for(site.ctx.settings, world.requested, world.mentee.id, site.ctx.clock.now())
    return links[action].rsplit("/", 1)[1]


def confirm_of(site: Site, verb: Verb) -> str:
    """The path of a link that asks the mentee whether he comes."""
    soon = site.world.open_now
    ticket = Ticket(soon.session_id, soon.mentee_id, soon.revision + 1, verb)
    return "/confirm/" + write(site.ctx.settings, Purpose.LINK, ticket)


def missed_of(site: Site) -> str:
    """The token of the link that books another time after a missed session."""
    link = rebook_link(site.ctx.settings, site.world.no_show, site.ctx.clock.now())
    return link.rsplit("/", 1)[1]


def asked_of(site: Site) -> str:
    """The token of the link that asks the mentee how it was."""
    world = site.world
    settings, now = site.ctx.settings, site.ctx.clock.now()
    link = testimonials.link_for(settings, world.completed.session_id, world.mentee.id, now)
    return link.rsplit("/", 1)[1]


def address_of(site: Site) -> str:
    """The token of the link that proves the mentee's address."""
    world = site.world
    link = verify_url(site.ctx.settings, world.mentee.id, world.mentee.email, site.ctx.clock.now())
    return link.rsplit("/", 1)[1]


def fewer_of(site: Site, kind: Kind) -> str:
    """The token of the link that ends a kind of mail."""
    link = unsubscribe_url(site.ctx.settings, site.world.mentee.id, kind, site.ctx.clock.now())
    assert link is not None
    return link.rsplit("/", 1)[1]


def pages_of(site: Site) -> dict[str, dict[str, int]]:
    """Role -> path -> the status that is right for it."""
    world = site.world
    mentor = f"/mentors/{world.mentor.id}"
    shared = {
        "/dashboard": 200,
        "/mentors": 200,
        mentor: 200,
        "/bookings": 200,
        "/bookings?show=requested": 200,
        "/bookings?show=past": 200,
        "/bookings?show=cancelled": 200,
        "/bookings?view=month&show=all": 200,
        "/bookings?view=week": 200,
        f"/bookings/{world.open_now.id}": 200,
        f"/bookings/{world.requested.id}": 200,
        f"/bookings/{world.cancelled.id}": 200,
        f"/sessions/{world.completed.session_id}": 200,
        f"/sessions/{world.no_show.session_id}": 200,
        f"/sessions/{world.open_now.session_id}": 200,
        f"/sessions/{world.requested.session_id}": 200,  # leads to the booking: there is no session yet
        "/wallet": 200,
        "/settings": 200,
        "/inbox": 200,
        "/inbox/nonsense": 404,
    }
    return {
        "nobody": {
            "/": 200,
            "/register": 200,
            "/login": 200,
            "/mentors": 200,
            "/mentors?q=nothing+like+this": 200,
            mentor: 200,
            "/design": 200,
            f"/links/{link_of(site, 'move')}": 200,
            f"/links/{missed_of(site)}": 200,
            f"/testimonials/{asked_of(site)}": 200,
            "/testimonials/nonsense": 404,
            f"/address/{address_of(site)}": 200,
            "/address/nonsense": 404,
            f"/unsubscribe/{fewer_of(site, Kind.REMINDER)}": 200,
            "/unsubscribe/nonsense": 404,
            confirm_of(site, Verb.YES): 200,
            confirm_of(site, Verb.NO): 200,
            confirm_of(site, Verb.MOVE): 200,
            "/confirm/nonsense": 404,
            "/links/nonsense": 404,
            "/nowhere": 404,
        },
        "mentee": shared
        | {
            "/standing": 200,
            f"{mentor}?move={world.requested.id}": 200,
            "/availability": 403,
            "/payslips": 403,
        },
        "mentor": shared | {"/standing": 200, "/availability": 200, "/payslips": 200, "/dev/inbox": 403},
        "admin": shared
        | {
            "/admin/testimonials": 200,
            "/admin/conduct": 200,
            "/admin/reviews": 200,
            f"/admin/sessions/{world.no_show.session_id}/verdict": 200,
            "/dev/inbox": 200,
            f"/dev/inbox?q={world.completed.session_id}": 200,
            "/admin/jobs": 200,
            "/admin/jobs/dead": 200,
            "/admin/jobs/audit": 200,
            "/admin/jobs/runs/reminders": 200,
            "/admin/exports": 200,
            "/admin/journey": 200,
            "/admin/templates?language=de": 200,
            "/admin/templates/reminder_4_hours/mentor/sms?language=de": 200,
            "/admin/templates/booking_approved/mentee/email": 200,
        },
    }


_LOOK = (Path(__file__).parent / "layout.js").read_text()


_CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


def faults_of(seen: dict[str, Any]) -> list[str]:
    found = [
        f"{what}: {seen[what]}" for what in ("unlabelled", "nameless", "duplicated", "small") if seen[what]
    ]
    if seen["headings"] != 1:
        found.append(f"{seen['headings']} h1")
    if not re.fullmatch(r".+ · Visavis", seen["title"]):
        found.append(f"title {seen['title']!r}")
    if seen["overflow"] > 0:
        found.append(f"scrolls sideways by {seen['overflow']}: {seen['widest']}")
    return found


async def look(visitor: Visitor, path: str, expected: int, name: str) -> list[str]:
    """The faults of one page, wide and narrow, in light and in dark."""
    visitor.complaints.clear()
    await visitor.page.set_viewport_size({"width": DESKTOP, "height": 800})
    status = await visitor.goto(path)
    faults = [] if status == expected else [f"status {status}"]
    for width in (DESKTOP, PHONE):
        await visitor.page.set_viewport_size({"width": width, "height": 800})
        faults += [f"at {width} px: {fault}" for fault in faults_of(await visitor.page.evaluate(_LOOK))]
        if PICTURES:
            await _picture(visitor, f"{name}-{width}")
        # Colours do not depend on the width: one scheme at each is enough.
        scheme: Literal["light", "dark"] = "light" if width == DESKTOP else "dark"
        await visitor.page.emulate_media(color_scheme=scheme)
        faults += [f"{scheme}: {dim}" for dim in await visitor.page.evaluate(_CONTRAST)]
    # Chromium itself reports the document's own status of 400 and above as an error of the console.
    faults += [text for text in visitor.complaints if expected < 400 or "Failed to load resource" not in text]
    return [f"{name} {path}: {fault}" for fault in faults]


def names_of(site: Site) -> dict[str, str]:
    """Ids in paths -> words in the pictures' file names."""
    world = site.world
    names = {str(world.mentor.id): "mentor"}
    for what in ("completed", "no_show", "open_now", "requested", "cancelled"):
        found: Booking = getattr(world, what)
        names |= {str(found.id): what, str(found.session_id): what}
    return names


async def _picture(visitor: Visitor, name: str) -> None:
    for scheme in SCHEMES:
        await visitor.page.emulate_media(color_scheme=scheme)
        await visitor.page.screenshot(path=ARTIFACTS / f"{name}-{scheme}.png", full_page=True)


@pytest.mark.browser
async def test_every_page_for_every_role(site: Site, visit: Visit) -> None:
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    world = site.world
    words = "Amara took my plan apart, kindly.\n\nI left with a shorter one, and did it the same week."
    await testimonials.write(site.ctx, world.mentee.id, world.completed.session_id, 4, words)
    soon = world.open_now
    async with site.ctx.pool.acquire() as conn, conn.transaction():
        both = (soon.mentor_id, soon.mentee_id)
        await confirmations.ask_in(
            conn, site.ctx, [Question(soon.session_id, soon.revision + 1, soon.start, both)]
        )
    for who, answer in ((world.mentor, Answer.YES), (world.mentee, Answer.NO)):
        await confirmations.answer(site.ctx, who.id, soon.session_id, answer, "page")
    names = names_of(site)
    for role, paths in pages_of(site).items():
        visitor = await visit(None if role == "nobody" else f"{role}@demo.visavis.test")
        for path, expected in paths.items():
            path_words = re.sub(r"eyJ[\w.-]+|(?<=/confirm/)[\w-]{71}", "token", path)
            slug = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", lambda m: names[m.group()], path_words)
            slug = re.sub(r"\W+", "-", slug).strip("-")[:60] or "front"
            faults += await look(visitor, path, expected, f"{role}-{slug}")
    assert not faults, "\n".join(faults)
