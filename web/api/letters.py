"""What the workers gave up, for administrators: to read, and to let it be tried again."""

from __future__ import annotations

from server.base import letters
from server.base.errors import FieldError, Invalid
from server.operations import actions as operations
from server.people.model import Role
from web.access import RoleIs
from web.api.endpoint import Call, endpoint
from web.api.jobs import LARGEST, fact_id
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.letters import DeadLetterOut

TAG = "Administration"


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) < LARGEST else None


async def dead(call: Call[Nothing, PageQuery]) -> Page[DeadLetterOut]:
    """Facts with a reaction that failed again and again, the newest first."""
    cursor, limit = call.query.cursor, call.query.limit
    before = _number(cursor) if cursor else None
    if cursor and before is None:
        raise Invalid([FieldError("cursor", "invalid", "This is no cursor of ours.")])
    found = await letters.listed(call.ctx, before, limit + 1)
    items = [
        DeadLetterOut(
            id=str(it.id), kind=it.kind, session_id=it.session_id, at=it.at, data=it.data,
            died_at=it.died_at, errors=it.errors,
        )
        for it in found[:limit]
    ]  # fmt: skip
    return Page(items=items, next_cursor=items[-1].id if len(found) > limit else None)


async def replay(call: Call[Nothing, NoQuery]) -> None:
    """Let the workers try again what failed; what succeeded is not repeated."""
    await operations.replay_fact(call.ctx, call.caller.user_id, fact_id(call.request))


_ADMIN = RoleIs.of(Role.ADMIN)

ROUTES = (
    endpoint(
        "GET", "/admin/dead-letters", dead, access=_ADMIN, summary="What was given up", tag=TAG, query=PageQuery,
        reply=Page[DeadLetterOut],
    ),
    endpoint(
        "POST", "/admin/dead-letters/{id}/replay", replay, access=_ADMIN, summary="Try it again", tag=TAG,
        reply=None, refusals={404: ("dead_letter_not_found",)},
    ),
)  # fmt: skip
