"""The administrators' board of what collides, what resolves it, and merging sessions into one room."""

from __future__ import annotations

from server.base.db import Conn
from server.conflicts import actions as conflicts
from server.conflicts.model import Conflict
from server.merging import actions as merging
from server.merging.model import Merge, Place
from server.people.model import Role
from server.sessions import actions as sessions
from web.access import RoleIs
from web.api.bookings import shown as booking_shown
from web.api.endpoint import BASE, Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES
from web.schemas.admin import ConflictOut, DismissIn, MergedOut, MergeIn, MergeOut, PlaceOut, WhyIn
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.sessions import BookingOut

TAG = "Administration"


def _conflict(it: Conflict) -> ConflictOut:
    return ConflictOut.model_validate(
        {
            "booking": booking_shown(it.booking),
            "kind": it.kind,
            "cause": it.cause,
            "why": it.why,
            "merge_into": it.merge_into,
        }
    )


def _merge(it: Merge) -> MergeOut:
    return MergeOut(
        id=it.id,
        room_id=it.room_id,
        merged_by=it.actor_id,
        reason=it.reason,
        at=it.at,
        undone_at=it.undone_at,
        sessions=[
            MergedOut(session_id=s.session_id, before=_place(s.before), after=_place(s.after))
            for s in it.sessions
        ],
    )


def _place(it: Place) -> PlaceOut:
    return PlaceOut(start=it.start, end=it.end, room_id=it.room_id)


async def board(call: Call[Nothing, PageQuery]) -> Page[ConflictOut]:
    """What collides of everything that is booked and still to come, soonest first. A page ends with a booking, so it
    may be a little longer than `limit`; with a `next_cursor` it may also be shorter, or empty."""
    page = await conflicts.board(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_conflict(it) for it in page.items], next_cursor=page.next_cursor)


async def dismiss(call: Call[DismissIn, NoQuery]) -> None:
    """Let a collision be. Twice is fine; another cause brings the booking back."""
    body = call.body
    await conflicts.dismiss(
        call.ctx, call.caller.user_id, body.booking_id, body.kind, body.cause, body.reason
    )


async def cancel(call: Call[WhyIn, NoQuery]) -> BookingOut:
    """Call a booking off for both sides. The mentee has all tokens back, whatever the terms say."""
    made = await sessions.cancel_for_both(call.ctx, call.caller.user_id, call.id(), call.body.reason)
    return booking_shown(made)


async def ask(call: Call[WhyIn, NoQuery]) -> BookingOut:
    """Ask both sides by mail to agree on another time. The old one stands until they do."""
    made = await sessions.ask_to_move(call.ctx, call.caller.user_id, call.id(), call.body.reason)
    return booking_shown(made)


async def merge(call: Call[MergeIn, NoQuery]) -> MergeOut:
    """Bring sessions of one mentor into one room, at the time of `into`: all of it or nothing, and only once."""
    body = call.body

    async def keep(conn: Conn, done: Merge) -> None:
        call.headers["Location"] = f"{BASE}/admin/merges/{done.id}"
        await call.keep(conn, _merge(done))

    return _merge(
        await merging.merge(
            call.ctx, call.caller.user_id, body.session_ids, body.into, body.reason, then=keep
        )
    )


async def merges(call: Call[Nothing, PageQuery]) -> Page[MergeOut]:
    """The log, newest first."""
    page = await merging.listed(call.ctx, call.query.cursor, call.query.limit)
    return Page(items=[_merge(it) for it in page.items], next_cursor=page.next_cursor)


async def one_merge(call: Call[Nothing, NoQuery]) -> MergeOut:
    return _merge(await merging.get(call.ctx, call.id()))


async def undo(call: Call[WhyIn, NoQuery]) -> MergeOut:
    """Put the sessions back where they were, while nothing has begun. Twice is fine."""
    return _merge(await merging.undo(call.ctx, call.caller.user_id, call.id(), call.body.reason))


_ADMIN = RoleIs.of(Role.ADMIN)
_LIMITS = (LimitBy(BOOKING_WRITES, by_caller),)
_STEPS = {404: ("booking_not_found",), 409: ("illegal_transition", "session_begun")}

ROUTES = (
    endpoint(
        "GET", "/admin/conflicts", board, access=_ADMIN, summary="What collides", tag=TAG, query=PageQuery,
        reply=Page[ConflictOut],
    ),
    endpoint(
        "POST", "/admin/conflicts/dismiss", dismiss, access=_ADMIN, summary="Let a collision be", tag=TAG,
        body=DismissIn, reply=None, limits=_LIMITS, refusals={404: ("booking_not_found",)},
    ),
    endpoint(
        "POST", "/admin/bookings/{id}/cancel", cancel, access=_ADMIN, summary="Call a booking off", tag=TAG,
        body=WhyIn, reply=BookingOut, limits=_LIMITS, refusals=_STEPS,
    ),
    endpoint(
        "POST", "/admin/bookings/{id}/ask-to-move", ask, access=_ADMIN, summary="Ask for another time", tag=TAG,
        body=WhyIn, reply=BookingOut, limits=_LIMITS, refusals=_STEPS,
    ),
    endpoint(
        "GET", "/admin/merges", merges, access=_ADMIN, summary="Merges", tag=TAG, query=PageQuery,
        reply=Page[MergeOut],
    ),
    endpoint(
        "POST", "/admin/merges", merge, access=_ADMIN, summary="Merge sessions", tag=TAG, body=MergeIn,
        reply=MergeOut, status=201, limits=_LIMITS, idempotent=True,
        refusals={
            404: ("session_not_found",),
            409: (
                "booking_conflict", "other_mentor", "session_not_scheduled", "session_begun", "another_length",
                "same_mentee", "same_room", "group_full", "changed_meanwhile", "idempotency_in_progress",
            ),
            422: ("idempotency_key_reused",),
        },
    ),
    endpoint("GET", "/admin/merges/{id}", one_merge, access=_ADMIN, summary="A merge", tag=TAG, reply=MergeOut),
    endpoint(
        "POST", "/admin/merges/{id}/undo", undo, access=_ADMIN, summary="Undo a merge", tag=TAG, body=WhyIn,
        reply=MergeOut, limits=_LIMITS,
        refusals={
            404: ("merge_not_found",), 409: ("session_begun", "merge_overtaken", "booking_conflict", "group_full")
        },
    ),
)  # fmt: skip
