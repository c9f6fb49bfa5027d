"""How one stands after no-shows, appealing, and the administrators' answers."""

from __future__ import annotations

from server.conduct import actions as conduct
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES, MODERATION
from web.schemas.base import NoQuery, Nothing, Page
from web.schemas.conduct import AnswerIn, AppealIn, CaseOut, CasesQuery, StandingOut

TAG = "Conduct"


async def mine(call: Call[Nothing, NoQuery]) -> StandingOut:
    """One's no-shows that count, what followed from them, and until when one is restricted."""
    return StandingOut.of(await conduct.standing(call.ctx, call.caller.user_id))


async def appeal(call: Call[AppealIn, NoQuery]) -> StandingOut:
    """Ask an administrator to look at the restriction that holds; once for each."""
    return StandingOut.of(await conduct.appeal(call.ctx, call.caller.user_id, call.body.text))


async def cases(call: Call[Nothing, CasesQuery]) -> Page[CaseOut]:
    """Restrictions, those that end first, first."""
    query = call.query
    page = await conduct.cases(
        call.ctx, appeals=query.show == "appeals", cursor=query.cursor, limit=query.limit
    )
    return Page(items=[CaseOut.of(it) for it in page.items], next_cursor=page.next_cursor)


async def accept(call: Call[AnswerIn, NoQuery]) -> StandingOut:
    """The appeal is right: the restriction ends, and its sessions count no more. Twice is fine."""
    return StandingOut.of(await conduct.accept(call.ctx, call.caller.user_id, call.id(), call.body.reason))


async def reject(call: Call[AnswerIn, NoQuery]) -> StandingOut:
    """The restriction stands. Twice is fine."""
    return StandingOut.of(await conduct.reject(call.ctx, call.caller.user_id, call.id(), call.body.reason))


async def lift(call: Call[AnswerIn, NoQuery]) -> StandingOut:
    """End it early; its sessions go on counting. Twice is fine."""
    return StandingOut.of(await conduct.lift(call.ctx, call.caller.user_id, call.id(), call.body.reason))


_BOOKERS = RoleIs.of(Role.MENTOR, Role.MENTEE)
_ADMIN = RoleIs.of(Role.ADMIN)
_MODERATION = (LimitBy(MODERATION, by_caller),)
_ANSWERS = {404: ("restriction_not_found",), 409: ("no_open_appeal",)}

ROUTES = (
    endpoint("GET", "/me/standing", mine, access=_BOOKERS, summary="How one stands", tag=TAG, reply=StandingOut),
    endpoint(
        "POST", "/me/standing/appeal", appeal, access=_BOOKERS, summary="Appeal", tag=TAG, body=AppealIn,
        reply=StandingOut, limits=(LimitBy(BOOKING_WRITES, by_caller),),
        refusals={409: ("not_restricted", "already_appealed")},
    ),
    endpoint(
        "GET", "/admin/conduct", cases, access=_ADMIN, summary="Restrictions and appeals", tag=TAG, query=CasesQuery,
        reply=Page[CaseOut],
    ),
    endpoint(
        "POST", "/admin/conduct/{id}/accept", accept, access=_ADMIN, summary="Accept an appeal", tag=TAG, body=AnswerIn,
        reply=StandingOut, limits=_MODERATION, refusals=_ANSWERS,
    ),
    endpoint(
        "POST", "/admin/conduct/{id}/reject", reject, access=_ADMIN, summary="Reject an appeal", tag=TAG, body=AnswerIn,
        reply=StandingOut, limits=_MODERATION, refusals=_ANSWERS,
    ),
    endpoint(
        "POST", "/admin/conduct/{id}/lift", lift, access=_ADMIN, summary="Lift a restriction", tag=TAG, body=AnswerIn,
        reply=StandingOut, limits=_MODERATION, refusals={404: ("restriction_not_found",), 409: ("not_in_force",)},
    ),
)  # fmt: skip
