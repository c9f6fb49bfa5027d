"""Testimonials: the author's, by login or by the link in the mail; the public's; and the administrators' queue."""

from __future__ import annotations

from aiohttp import web as http
from pydantic import BaseModel

from server.base.errors import NotFound
from server.people import actions as people
from server.people.model import Role
from server.testimonials import actions as testimonials
from server.testimonials.actions import Opened
from web.access import Owner, Public, RoleIs
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES, LINKS, MODERATION, address
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.testimonials import (
    PublicTestimonialOut,
    PublishIn,
    RejectIn,
    TestimonialIn,
    TestimonialOut,
    TestimonialsQuery,
)

TAG = "Testimonials"


async def of_mentor(call: Call[Nothing, PageQuery]) -> Page[PublicTestimonialOut]:
    """What mentees said of this mentor, once it was read by an administrator; the newest first."""
    mentor = await people.profile(call.ctx, call.id())
    if not mentor.published:
        raise NotFound("mentor_not_found", "There is no such mentor.")
    page = await testimonials.published(call.ctx, call.id(), call.query.cursor, call.query.limit)
    return Page(items=[PublicTestimonialOut.of(it) for it in page.items], next_cursor=page.next_cursor)


def _written(opened: Opened) -> TestimonialOut:
    if opened.written is None:
        raise NotFound("testimonial_not_found", "Nothing was written about this session.")
    return TestimonialOut.of(opened.written)


async def mine(call: Call[Nothing, NoQuery]) -> TestimonialOut:
    return _written(await testimonials.of_session(call.ctx, call.caller.user_id, call.id()))


async def write(call: Call[TestimonialIn, NoQuery]) -> TestimonialOut:
    """Say something about a session one came to. An administrator reads it before anybody else; until it is published
    it can be changed."""
    made = await testimonials.write(call.ctx, call.caller.user_id, call.id(), call.body.stars, call.body.text)
    return TestimonialOut.of(made)


async def withdraw(call: Call[Nothing, NoQuery]) -> TestimonialOut:
    """Take it back before it is published. Twice is fine."""
    return TestimonialOut.of(await testimonials.withdraw(call.ctx, call.caller.user_id, call.id()))


async def by_link(call: Call[Nothing, NoQuery]) -> TestimonialOut:
    return _written(await testimonials.open_link(call.ctx, call.request.match_info["token"]))


async def write_by_link(call: Call[TestimonialIn, NoQuery]) -> TestimonialOut:
    """The link in the mail is the permission: no login."""
    asked = testimonials.read_link(call.ctx.settings, call.request.match_info["token"], call.ctx.clock.now())
    made = await testimonials.write(
        call.ctx, asked.user_id, asked.session_id, call.body.stars, call.body.text
    )
    return TestimonialOut.of(made)


async def withdraw_by_link(call: Call[Nothing, NoQuery]) -> TestimonialOut:
    asked = testimonials.read_link(call.ctx.settings, call.request.match_info["token"], call.ctx.clock.now())
    return TestimonialOut.of(await testimonials.withdraw(call.ctx, asked.user_id, asked.session_id))


async def queue(call: Call[Nothing, TestimonialsQuery]) -> Page[TestimonialOut]:
    read = testimonials.queue if call.query.status == "submitted" else testimonials.decided
    page = await read(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[TestimonialOut.of(it) for it in page.items], next_cursor=page.next_cursor)


async def publish(call: Call[PublishIn, NoQuery]) -> TestimonialOut:
    """Show it on the mentor's page. Twice is fine."""
    return TestimonialOut.of(
        await testimonials.publish(call.ctx, call.caller.user_id, call.id(), call.body.revision)
    )


async def reject(call: Call[RejectIn, NoQuery]) -> TestimonialOut:
    """Do not show it. The author is told why, and may write it anew."""
    body = call.body
    return TestimonialOut.of(
        await testimonials.reject(call.ctx, call.caller.user_id, call.id(), body.reason, body.revision)
    )


async def undo(call: Call[Nothing, NoQuery]) -> TestimonialOut:
    """Put it back into the queue; what was published is no longer shown. Twice is fine."""
    return TestimonialOut.of(await testimonials.undo(call.ctx, call.caller.user_id, call.id()))


def _by_address(request: http.Request, _body: BaseModel) -> tuple[str, ...]:
    return (address(request),)


_ADMIN = RoleIs.of(Role.ADMIN)
_MODERATION = (LimitBy(MODERATION, by_caller),)
_AUTHOR = Owner.of("session", Role.MENTEE)
_WRITES = (LimitBy(BOOKING_WRITES, by_caller),)
_BY_LINK = (LimitBy(LINKS, _by_address),)
_NONE: dict[int, tuple[str, ...]] = {404: ("testimonial_not_found",), 409: ("session_not_completed",)}
_LATE: dict[int, tuple[str, ...]] = {
    409: ("session_not_completed", "already_published", "illegal_transition")
}
_LINK: dict[int, tuple[str, ...]] = {410: ("link_expired",)}
_DECISION = {404: ("testimonial_not_found",), 409: ("changed_meanwhile", "illegal_transition")}

ROUTES = (
    endpoint(
        "GET", "/mentors/{id}/testimonials", of_mentor, access=Public(), summary="What mentees say", tag=TAG,
        query=PageQuery, reply=Page[PublicTestimonialOut],
    ),
    endpoint(
        "GET", "/sessions/{id}/testimonial", mine, access=_AUTHOR, summary="One's testimonial", tag=TAG,
        reply=TestimonialOut, refusals=_NONE,
    ),
    endpoint(
        "PUT", "/sessions/{id}/testimonial", write, access=_AUTHOR, summary="Write a testimonial", tag=TAG,
        body=TestimonialIn, reply=TestimonialOut, limits=_WRITES, refusals=_LATE,
    ),
    endpoint(
        "DELETE", "/sessions/{id}/testimonial", withdraw, access=_AUTHOR, summary="Take it back", tag=TAG,
        reply=TestimonialOut, limits=_WRITES, refusals=_LATE,
    ),
    endpoint(
        "GET", "/testimonials/links/{token}", by_link, access=Public(), summary="By the link in a mail", tag=TAG,
        reply=TestimonialOut, limits=_BY_LINK, refusals=_NONE | _LINK,
    ),
    endpoint(
        "PUT", "/testimonials/links/{token}", write_by_link, access=Public(), summary="Write by the link in a mail",
        tag=TAG, body=TestimonialIn, reply=TestimonialOut, limits=_BY_LINK, refusals=_LATE | _LINK,
    ),
    endpoint(
        "DELETE", "/testimonials/links/{token}", withdraw_by_link, access=Public(), tag=TAG,
        summary="Take it back by the link in a mail", reply=TestimonialOut, limits=_BY_LINK, refusals=_LATE | _LINK,
    ),
    endpoint(
        "GET", "/admin/testimonials", queue, access=_ADMIN, summary="What waits to be read", tag=TAG,
        query=TestimonialsQuery, reply=Page[TestimonialOut],
    ),
    endpoint(
        "POST", "/admin/testimonials/{id}/publish", publish, access=_ADMIN, summary="Publish", tag=TAG, body=PublishIn,
        reply=TestimonialOut, limits=_MODERATION, refusals=_DECISION,
    ),
    endpoint(
        "POST", "/admin/testimonials/{id}/reject", reject, access=_ADMIN, summary="Reject", tag=TAG, body=RejectIn,
        reply=TestimonialOut, limits=_MODERATION, refusals=_DECISION,
    ),
    endpoint(
        "POST", "/admin/testimonials/{id}/undo", undo, access=_ADMIN, summary="Take a decision back", tag=TAG,
        reply=TestimonialOut, limits=_MODERATION, refusals=_DECISION,
    ),
)  # fmt: skip
