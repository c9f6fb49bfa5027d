"""Verdicts: their steps, an administrator's decision, reviews that people ask for, and our own outages."""

from __future__ import annotations

from server.attendance import amending, outages
from server.attendance.model import Outage, Review, Verdict
from server.people.model import Role
from server.sessions.model import Outcome
from web.access import Owner, RoleIs
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.verdicts import OutageIn, OutageOut, ReviewIn, ReviewOut, UpholdIn, VerdictIn, VerdictOut

TAG = "Verdicts"


def _verdict(it: Verdict) -> VerdictOut:
    return VerdictOut(
        seq=it.seq,
        outcome=it.outcome.value,
        decided_by="system" if it.admin_id is None else "admin",
        reason=it.reason,
        at=it.at,
        inputs=dict(it.inputs),
    )


def _review(it: Review) -> ReviewOut:
    return ReviewOut.model_validate({name: getattr(it, name) for name in ReviewOut.model_fields})


def _outage(it: Outage) -> OutageOut:
    return OutageOut.model_validate(
        {"id": it.id, "from": it.began_at, "to": it.ended_at, "cause": it.cause.value, "note": it.note}
    )


async def steps(call: Call[Nothing, NoQuery]) -> Page[VerdictOut]:
    """How the session was judged, the first step first; the last one is its outcome."""
    found = await amending.of_session(call.ctx, call.caller, call.id())
    return Page(items=[_verdict(it) for it in found], next_cursor=None)


async def amend(call: Call[VerdictIn, NoQuery]) -> Page[VerdictOut]:
    """Decide otherwise. The money follows by new transfers, both are told, and reviews that wait are answered."""
    body = call.body
    found = await amending.amend(call.ctx, call.caller.user_id, call.id(), Outcome(body.outcome), body.reason)
    return Page(items=[_verdict(it) for it in found], next_cursor=None)


async def ask(call: Call[ReviewIn, NoQuery]) -> ReviewOut:
    """Ask for the verdict to be looked at again, within seven days of it. Once for each of the two."""
    return _review(await amending.ask(call.ctx, call.caller, call.id(), call.body.reason))


async def waiting(call: Call[Nothing, PageQuery]) -> Page[ReviewOut]:
    """The reviews that wait for an answer, the longest first. `POST .../verdict` answers those of its session, too."""
    page = await amending.waiting(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_review(it) for it in page.items], next_cursor=page.next_cursor)


async def uphold(call: Call[UpholdIn, NoQuery]) -> ReviewOut:
    """Leave the verdict as it is, and tell who asked why. Twice is fine."""
    return _review(await amending.uphold(call.ctx, call.caller.user_id, call.id(), call.body.note))


async def listed(call: Call[Nothing, PageQuery]) -> Page[OutageOut]:
    """When nobody could meet for a reason of ours, newest first."""
    page = await outages.listed(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_outage(it) for it in page.items], next_cursor=page.next_cursor)


async def declare(call: Call[OutageIn, NoQuery]) -> OutageOut:
    """Note an outage that could not be seen from here. Verdicts that were given already stay until they are amended."""
    body = call.body
    return _outage(await outages.declare(call.ctx, call.caller.user_id, body.from_, body.to, body.note))


_ADMIN = RoleIs.of(Role.ADMIN)
_LIMITS = (LimitBy(BOOKING_WRITES, by_caller),)

ROUTES = (
    endpoint(
        "GET", "/sessions/{id}/verdicts", steps, access=Owner.of("session"), summary="The steps of a verdict",
        tag=TAG, reply=Page[VerdictOut],
    ),
    endpoint(
        "POST", "/sessions/{id}/review", ask, access=Owner.of("session", Role.MENTOR, Role.MENTEE),
        summary="Ask for a review", tag=TAG, body=ReviewIn, reply=ReviewOut, status=201, limits=_LIMITS,
        refusals={404: ("session_not_found",), 409: ("not_settled", "review_asked", "review_too_late")},
    ),
    endpoint(
        "POST", "/admin/sessions/{id}/verdict", amend, access=_ADMIN, summary="Amend a verdict", tag=TAG,
        body=VerdictIn, reply=Page[VerdictOut], limits=_LIMITS,
        refusals={
            402: ("insufficient_tokens",), 404: ("session_not_found",), 409: ("not_settled", "same_verdict")
        },
    ),
    endpoint(
        "GET", "/admin/reviews", waiting, access=_ADMIN, summary="Reviews that wait", tag=TAG, query=PageQuery,
        reply=Page[ReviewOut],
    ),
    endpoint(
        "POST", "/admin/reviews/{id}/uphold", uphold, access=_ADMIN, summary="Uphold a verdict", tag=TAG, body=UpholdIn,
        reply=ReviewOut, limits=_LIMITS, refusals={404: ("review_not_found",), 409: ("review_answered",)},
    ),
    endpoint(
        "GET", "/admin/outages", listed, access=_ADMIN, summary="Outages", tag=TAG, query=PageQuery,
        reply=Page[OutageOut],
    ),
    endpoint(
        "POST", "/admin/outages", declare, access=_ADMIN, summary="Declare an outage", tag=TAG, body=OutageIn,
        reply=OutageOut, status=201, limits=_LIMITS,
    ),
)  # fmt: skip
