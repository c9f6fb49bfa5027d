"""Bookings: request, answer, move, cancel, list."""

from __future__ import annotations

from server.booking import actions as booking
from server.booking.model import Booking
from server.people.model import Role
from server.sessions import actions as sessions
from web.access import Owner, RoleIs, SignedIn
from web.api.endpoint import BASE, Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES
from web.schemas.base import NoQuery, Nothing, Page, Person
from web.schemas.sessions import BookingIn, BookingOut, BookingsQuery, ReasonIn, RescheduleIn

TAG = "Bookings"


def shown(it: Booking) -> BookingOut:
    return BookingOut(
        id=it.id,
        session_id=it.session_id,
        mentor=Person(id=it.mentor_id, name=it.mentor_name),
        mentee=Person(id=it.mentee_id, name=it.mentee_name),
        start=it.start,
        end=it.end,
        status=it.status.value,
        price_tokens=it.price_tokens,
        topic=it.topic,
        note=it.note,
        is_reschedule=it.is_reschedule,
        reschedule_reason=it.reschedule_reason,
        cancelation_reason=it.cancelation_reason,
        revision=it.revision,
        created_at=it.created_at,
        updated_at=it.updated_at,
    )


async def book(call: Call[BookingIn, NoQuery]) -> BookingOut:
    """Request a session. The price is held at once; the mentor then approves or rejects."""
    body = call.body
    made = await booking.book(
        call.ctx,
        call.caller.user_id,
        mentor_id=body.mentor_id,
        start=body.start,
        end=body.end,
        topic=body.topic,
        note=body.note,
    )
    call.headers["Location"] = f"{BASE}/bookings/{made.id}"
    return shown(made)


async def listing(call: Call[Nothing, BookingsQuery]) -> Page[BookingOut]:
    """The caller's bookings, on whichever side."""
    query = call.query
    page = await booking.list_for(
        call.ctx,
        call.caller,
        status=query.status,
        frm=query.from_,
        to=query.to,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Page(items=[shown(it) for it in page.items], next_cursor=page.next_cursor)


async def one(call: Call[Nothing, NoQuery]) -> BookingOut:
    return shown(await booking.get(call.ctx, call.caller, call.id()))


async def approve(call: Call[Nothing, NoQuery]) -> BookingOut:
    """Agree; the session is published."""
    return shown(await sessions.approve(call.ctx, call.caller.user_id, call.id()))


async def reject(call: Call[ReasonIn, NoQuery]) -> BookingOut:
    """Decline; the held tokens go back."""
    return shown(await sessions.reject(call.ctx, call.caller.user_id, call.id(), call.body.reason))


async def reschedule(call: Call[RescheduleIn, NoQuery]) -> BookingOut:
    """Move to another time. When the mentee moves an approved booking, the mentor has to approve again."""
    body = call.body
    moved = await sessions.reschedule(
        call.ctx, call.caller.user_id, call.id(), start=body.start, end=body.end, reason=body.reason
    )
    return shown(moved)


async def cancel(call: Call[ReasonIn, NoQuery]) -> BookingOut:
    """Call it off; the held tokens go back."""
    return shown(await sessions.cancel(call.ctx, call.caller.user_id, call.id(), call.body.reason))


_LIMITS = (LimitBy(BOOKING_WRITES, by_caller),)
_CONFLICT = "booking_conflict"
_ILLEGAL = "illegal_transition"
_OWNER = Owner.of("booking", Role.MENTOR, Role.MENTEE)

ROUTES = (
    endpoint(
        "POST", "/bookings", book, access=RoleIs.of(Role.MENTEE), summary="Request a session", tag=TAG,
        body=BookingIn, reply=BookingOut, status=201, limits=_LIMITS, idempotent=True,
        refusals={
            402: ("insufficient_tokens",),
            409: (_CONFLICT, "idempotency_in_progress"),
            422: ("idempotency_key_reused",),
        },
    ),
    endpoint(
        "GET", "/bookings", listing, access=SignedIn(), summary="One's bookings", tag=TAG,
        query=BookingsQuery, reply=Page[BookingOut],
    ),
    endpoint("GET", "/bookings/{id}", one, access=Owner.of("booking"), summary="A booking", tag=TAG, reply=BookingOut),
    endpoint(
        "POST", "/bookings/{id}/approve", approve, access=Owner.of("booking", Role.MENTOR), summary="Approve", tag=TAG,
        reply=BookingOut, limits=_LIMITS, refusals={409: (_ILLEGAL, "time_has_passed")},
    ),
    endpoint(
        "POST", "/bookings/{id}/reject", reject, access=Owner.of("booking", Role.MENTOR), summary="Reject", tag=TAG,
        body=ReasonIn, reply=BookingOut, limits=_LIMITS, refusals={409: (_ILLEGAL,)},
    ),
    endpoint(
        "POST", "/bookings/{id}/reschedule", reschedule, access=_OWNER, summary="Move", tag=TAG,
        body=RescheduleIn, reply=BookingOut, limits=_LIMITS, refusals={409: (_CONFLICT, _ILLEGAL, "session_begun")},
    ),
    endpoint(
        "POST", "/bookings/{id}/cancel", cancel, access=_OWNER, summary="Cancel", tag=TAG,
        body=ReasonIn, reply=BookingOut, limits=_LIMITS, refusals={409: (_ILLEGAL, "session_begun")},
    ),
)  # fmt: skip
