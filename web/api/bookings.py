"""Bookings: request, answer, move, cancel, list."""

from __future__ import annotations

from server.base.db import Conn
from server.booking import actions as booking
from server.booking.model import Booking, Terms
from server.people.model import Role
from server.sessions import actions as sessions
from server.sessions import series
from web.access import Owner, RoleIs, SignedIn
from web.api.endpoint import BASE, Call, LimitBy, by_caller, endpoint
from web.limits import BOOKING_WRITES
from web.schemas.base import NoQuery, Nothing, Page, Person
from web.schemas.sessions import (
    BookingIn,
    BookingOut,
    BookingsQuery,
    CancellationOut,
    ProposalOut,
    ReasonIn,
    RescheduleIn,
    SeriesIn,
    SeriesOut,
    TermsModel,
)

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
        expires_at=it.expires_at,
        proposal=None
        if it.proposal is None
        else ProposalOut(
            start=it.proposal.start,
            end=it.proposal.end,
            by=it.proposal.by,
            reason=it.proposal.reason,
            expires_at=it.proposal.expires_at,
        ),
        cancellation=CancellationOut(
            free_until=it.free_until,
            late_fee_percent=it.late_fee_percent,
            no_show_fee_percent=it.no_show_fee_percent,
        ),
        series_id=it.series_id,
        revision=it.revision,
        created_at=it.created_at,
        updated_at=it.updated_at,
    )


async def book(call: Call[BookingIn, NoQuery]) -> BookingOut:
    """Request a session. The price is held at once; the mentor then approves or rejects, or has said before that she
    approves whatever fits. With `hold` the time is kept for five minutes, unpaid, until it is confirmed."""
    body = call.body

    async def keep(conn: Conn, made: Booking) -> None:
        call.headers["Location"] = f"{BASE}/bookings/{made.id}"
        await call.keep(conn, shown(made))

    made = await sessions.book(
        call.ctx,
        call.caller.user_id,
        mentor_id=body.mentor_id,
        start=body.start,
        end=body.end,
        topic=body.topic,
        note=body.note,
        hold=body.hold,
        then=keep,
    )
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
        name=query.name,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Page(items=[shown(it) for it in page.items], next_cursor=page.next_cursor)


async def one(call: Call[Nothing, NoQuery]) -> BookingOut:
    return shown(await booking.get(call.ctx, call.caller, call.id()))


async def confirm(call: Call[Nothing, NoQuery]) -> BookingOut:
    """Pay for a time that was kept."""
    return shown(await sessions.confirm(call.ctx, call.caller.user_id, call.id()))


async def approve(call: Call[Nothing, NoQuery]) -> BookingOut:
    """Agree: the mentor to a request, either side to the time the other one proposes."""
    return shown(await sessions.approve(call.ctx, call.caller.user_id, call.id()))


async def reject(call: Call[ReasonIn, NoQuery]) -> BookingOut:
    """Decline: the mentor a request (the held tokens go back), either side the time the other one proposes (the old
    one stands). Who proposed it takes it back the same way."""
    return shown(await sessions.reject(call.ctx, call.caller.user_id, call.id(), call.body.reason))


async def reschedule(call: Call[RescheduleIn, NoQuery]) -> BookingOut:
    """Propose another time of the same length. The old one stands until the other side approves; only a request that
    the mentor has not answered is moved at once by its mentee."""
    body = call.body
    moved = await sessions.reschedule(
        call.ctx, call.caller.user_id, call.id(), start=body.start, end=body.end, reason=body.reason
    )
    return shown(moved)


async def cancel(call: Call[ReasonIn, NoQuery]) -> BookingOut:
    """Call it off; the held tokens go back, less the late fee that was agreed when it was booked."""
    return shown(await sessions.cancel(call.ctx, call.caller.user_id, call.id(), call.body.reason))


async def book_series(call: Call[SeriesIn, NoQuery]) -> SeriesOut:
    """Request the same time every week, on the mentor's wall: all dates or none."""
    body = call.body

    async def keep(conn: Conn, made: list[Booking]) -> None:
        await call.keep(conn, _series(made))

    made = await series.book(
        call.ctx,
        call.caller.user_id,
        mentor_id=body.mentor_id,
        start=body.start,
        end=body.end,
        weeks=body.weeks,
        topic=body.topic,
        note=body.note,
        then=keep,
    )
    return _series(made)


async def approve_series(call: Call[Nothing, NoQuery]) -> SeriesOut:
    """Agree to every request of the series that still waits."""
    return _series(await series.approve(call.ctx, call.caller.user_id, call.id()))


async def cancel_series(call: Call[ReasonIn, NoQuery]) -> SeriesOut:
    """Call off whatever of the series is still to come."""
    return _series(await series.cancel(call.ctx, call.caller.user_id, call.id(), call.body.reason))


def _series(made: list[Booking]) -> SeriesOut:
    series_id = made[0].series_id
    assert series_id is not None  # noqa: S101 - they were found or made by it
    return SeriesOut(series_id=series_id, items=[shown(it) for it in made])


async def terms(call: Call[Nothing, NoQuery]) -> TermsModel:
    return _terms(await booking.terms(call.ctx, call.caller.user_id))


async def set_terms(call: Call[TermsModel, NoQuery]) -> TermsModel:
    """For bookings from now on; those made before keep theirs."""
    return _terms(await booking.put_terms(call.ctx, call.caller.user_id, Terms(**call.body.model_dump())))


def _terms(it: Terms) -> TermsModel:
    return TermsModel(
        instant_approval=it.instant_approval,
        free_until_hours=it.free_until_hours,
        late_fee_percent=it.late_fee_percent,
        no_show_fee_percent=it.no_show_fee_percent,
    )


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
            403: ("booking_restricted",),
            409: (_CONFLICT, "group_full", "day_full", "week_full", "month_full", "idempotency_in_progress"),
            422: ("idempotency_key_reused",),
        },
    ),
    endpoint(
        "POST", "/bookings/series", book_series, access=RoleIs.of(Role.MENTEE), summary="Request a weekly session",
        tag=TAG, body=SeriesIn, reply=SeriesOut, status=201, limits=_LIMITS, idempotent=True,
        refusals={
            402: ("insufficient_tokens",),
            403: ("booking_restricted",),
            409: ("series_conflict", "idempotency_in_progress"),
            422: ("idempotency_key_reused",),
        },
    ),
    endpoint(
        "POST", "/bookings/series/{id}/approve", approve_series, access=RoleIs.of(Role.MENTOR), tag=TAG,
        summary="Approve a series", reply=SeriesOut, limits=_LIMITS, refusals={409: (_ILLEGAL, "time_has_passed")},
    ),
    endpoint(
        "POST", "/bookings/series/{id}/cancel", cancel_series, access=RoleIs.of(Role.MENTOR, Role.MENTEE), tag=TAG,
        summary="Cancel a series", body=ReasonIn, reply=SeriesOut, limits=_LIMITS, refusals={409: (_ILLEGAL,)},
    ),
    endpoint(
        "GET", "/bookings", listing, access=SignedIn(), summary="One's bookings", tag=TAG,
        query=BookingsQuery, reply=Page[BookingOut],
    ),
    endpoint("GET", "/bookings/{id}", one, access=Owner.of("booking"), summary="A booking", tag=TAG, reply=BookingOut),
    endpoint(
        "POST", "/bookings/{id}/confirm", confirm, access=Owner.of("booking", Role.MENTEE), tag=TAG,
        summary="Pay for a held time", reply=BookingOut, limits=_LIMITS,
        refusals={402: ("insufficient_tokens",), 409: (_ILLEGAL, "hold_expired")},
    ),
    endpoint(
        "POST", "/bookings/{id}/approve", approve, access=_OWNER, summary="Approve", tag=TAG, reply=BookingOut,
        limits=_LIMITS,
        refusals={
            403: ("booking_restricted",),
            409: (
                _ILLEGAL, _CONFLICT, "group_full", "time_has_passed", "request_expired", "proposal_expired",
                "session_begun",
            ),
        },
    ),
    endpoint(
        "POST", "/bookings/{id}/reject", reject, access=_OWNER, summary="Reject", tag=TAG,
        body=ReasonIn, reply=BookingOut, limits=_LIMITS, refusals={409: (_ILLEGAL,)},
    ),
    endpoint(
        "POST", "/bookings/{id}/reschedule", reschedule, access=_OWNER, summary="Propose another time", tag=TAG,
        body=RescheduleIn, reply=BookingOut, limits=_LIMITS,
        refusals={409: (_CONFLICT, "group_full", _ILLEGAL, "session_begun")},
    ),
    endpoint(
        "POST", "/bookings/{id}/cancel", cancel, access=_OWNER, summary="Cancel", tag=TAG,
        body=ReasonIn, reply=BookingOut, limits=_LIMITS, refusals={409: (_ILLEGAL, "session_begun")},
    ),
    endpoint(
        "GET", "/me/booking-terms", terms, access=RoleIs.of(Role.MENTOR), summary="One's terms", tag=TAG,
        reply=TermsModel,
    ),
    endpoint(
        "PUT", "/me/booking-terms", set_terms, access=RoleIs.of(Role.MENTOR), summary="Set one's terms", tag=TAG,
        body=TermsModel, reply=TermsModel,
    ),
)  # fmt: skip
