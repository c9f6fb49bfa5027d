"""Bookings in PostgreSQL: the exclusion constraints have the last word on who is where when."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from server.base.db import Conn, Row
from server.booking.model import Booking, Clash, Proposal, Seat, Status, Terms

_SELECT = (
    "SELECT b.id, b.session_id, b.mentor_id, b.mentee_id, lower(b.during) AS start, upper(b.during) AS stop, b.status,"
    " b.price_tokens, b.topic, b.note, b.is_reschedule, b.reschedule_reason, b.cancelation_reason, b.cancelled_by,"
    " b.revision, b.created_at, b.updated_at, b.expires_at, b.free_until_hours, b.late_fee_percent,"
    " b.no_show_fee_percent, b.series_id, b.seat_group, b.seat, lower(b.proposed) AS proposed_start,"
    " upper(b.proposed) AS proposed_stop, b.proposed_by, b.proposed_reason, b.proposal_expires_at,"
    " mentor.name AS mentor_name, mentee.name AS mentee_name"
    " FROM bookings b JOIN users mentor ON mentor.id = b.mentor_id JOIN users mentee ON mentee.id = b.mentee_id"
)
_OTHERWISE = frozenset(
    (
        "stop",
        "status",
        "proposed_start",
        "proposed_stop",
        "proposed_by",
        "proposed_reason",
        "proposal_expires_at",
    )
)


def _booking(row: Row) -> Booking:
    fields = {name: row[name] for name in row.keys() if name not in _OTHERWISE}  # noqa: SIM118 - a Record
    proposal = None
    if row["proposed_by"] is not None:
        proposal = Proposal(
            row["proposed_start"],
            row["proposed_stop"],
            row["proposed_by"],
            row["proposed_reason"],
            row["proposal_expires_at"],
        )
    return Booking(**fields, end=row["stop"], status=Status(row["status"]), proposal=proposal)


async def insert(conn: Conn, booking: Booking) -> bool:
    """False when the mentor or the mentee is taken at that time; the transaction goes on either way."""
    try:
        async with conn.transaction():  # a savepoint
            await conn.execute(
                "INSERT INTO bookings (id, session_id, mentor_id, mentee_id, during, status, price_tokens, topic, note,"
                " created_at, updated_at, expires_at, free_until_hours, late_fee_percent, no_show_fee_percent,"
                " series_id, seat_group, seat)"
                " VALUES ($1, $2, $3, $4, tstzrange($5, $6, '[)'), $7, $8, $9, $10, $11, $11, $12, $13, $14,"
                " $15, $16, $17, $18)",
                booking.id, booking.session_id, booking.mentor_id, booking.mentee_id, booking.start, booking.end,
                booking.status, booking.price_tokens, booking.topic, booking.note, booking.created_at,
                booking.expires_at, booking.free_until_hours, booking.late_fee_percent, booking.no_show_fee_percent,
                booking.series_id, booking.seat_group or booking.id, booking.seat,
            )  # fmt: skip
    except (asyncpg.ExclusionViolationError, asyncpg.UniqueViolationError):
        return False
    return True


async def move(
    conn: Conn,
    booking_id: UUID,
    start: datetime,
    end: datetime,
    status: Status,
    reason: str,
    expires_at: datetime | None,
    seat: Seat,
    now: datetime,
) -> bool:
    """Another time and seat for a booking; False when somebody is taken then. The transaction goes on either way."""
    try:
        async with conn.transaction():  # a savepoint
            await conn.execute(
                "UPDATE bookings SET during = tstzrange($2, $3, '[)'), status = $4, is_reschedule = true,"
                f" reschedule_reason = $5, expires_at = $6, revision = revision + 1, updated_at = $7,"
                f" seat_group = $8, seat = $9, {_NO_PROPOSAL} WHERE id = $1",
                booking_id, start, end, status, reason, expires_at, now, seat.group, seat.number,
            )  # fmt: skip
    except (asyncpg.ExclusionViolationError, asyncpg.UniqueViolationError):
        return False
    return True


async def sit(conn: Conn, booking_id: UUID, seat: Seat, now: datetime) -> None:
    """Another seat at the same time."""
    await conn.execute(
        "UPDATE bookings SET seat_group = $2, seat = $3, updated_at = $4 WHERE id = $1",
        booking_id, seat.group, seat.number, now,
    )  # fmt: skip


_NO_PROPOSAL = "proposed = NULL, proposed_by = NULL, proposed_reason = NULL, proposal_expires_at = NULL"


async def propose(
    conn: Conn, booking_id: UUID, proposal: Proposal, expires_at: datetime | None, now: datetime
) -> None:
    """Put a proposal in the place of an earlier one; ``expires_at`` is the booking's own."""
    await conn.execute(
        "UPDATE bookings SET proposed = tstzrange($2, $3, '[)'), proposed_by = $4, proposed_reason = $5,"
        " proposal_expires_at = $6, expires_at = $7, updated_at = $8 WHERE id = $1",
        booking_id, proposal.start, proposal.end, proposal.by, proposal.reason, proposal.expires_at, expires_at, now,
    )  # fmt: skip


async def drop_proposal(conn: Conn, booking_id: UUID, expires_at: datetime | None, now: datetime) -> None:
    """The old time stands; ``expires_at`` is the booking's own."""
    await conn.execute(
        f"UPDATE bookings SET {_NO_PROPOSAL}, expires_at = $2, updated_at = $3 WHERE id = $1",
        booking_id, expires_at, now,
    )  # fmt: skip


async def set_status(
    conn: Conn, booking_id: UUID, status: Status, now: datetime, expires_at: datetime | None = None
) -> None:
    """Another status; an open proposal has no place in it."""
    await conn.execute(
        "UPDATE bookings SET status = $2, revision = revision + 1, updated_at = $3, expires_at = $4,"
        f" {_NO_PROPOSAL} WHERE id = $1",
        booking_id, status, now, expires_at,
    )  # fmt: skip


async def end(conn: Conn, booking_id: UUID, status: Status, by: UUID, reason: str, now: datetime) -> None:
    """Rejected or cancelled, by whom and why."""
    await conn.execute(
        "UPDATE bookings SET status = $2, cancelled_by = $3, cancelation_reason = $4, revision = revision + 1,"
        f" updated_at = $5, expires_at = NULL, {_NO_PROPOSAL} WHERE id = $1",
        booking_id, status, by, reason, now,
    )  # fmt: skip


async def expired(conn: Conn, now: datetime, people: Sequence[UUID] | None = None) -> list[UUID]:
    """Bookings of these people (None: of anybody) of which the hold, the request or a proposal has run out."""
    rows = await conn.fetch(
        "SELECT id FROM bookings WHERE (expires_at <= $1 OR proposal_expires_at <= $1)"
        " AND ($2::uuid[] IS NULL OR mentor_id = ANY($2) OR mentee_id = ANY($2)) ORDER BY id LIMIT 1000",
        now, people,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def terms_of(conn: Conn, mentor_id: UUID) -> Terms:
    """The mentor's terms; before she has set any, the usual ones."""
    row = await conn.fetchrow(
        "SELECT instant_approval, free_until_hours, late_fee_percent, no_show_fee_percent FROM booking_terms"
        " WHERE mentor_id = $1",
        mentor_id,
    )
    return Terms(**row) if row else Terms()


async def put_terms(conn: Conn, mentor_id: UUID, terms: Terms, now: datetime) -> None:
    await conn.execute(
        "INSERT INTO booking_terms (mentor_id, instant_approval, free_until_hours, late_fee_percent,"
        " no_show_fee_percent, updated_at) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (mentor_id) DO UPDATE SET instant_approval = excluded.instant_approval,"
        " free_until_hours = excluded.free_until_hours, late_fee_percent = excluded.late_fee_percent,"
        " no_show_fee_percent = excluded.no_show_fee_percent, updated_at = excluded.updated_at",
        mentor_id, terms.instant_approval, terms.free_until_hours, terms.late_fee_percent, terms.no_show_fee_percent,
        now,
    )  # fmt: skip


async def booking(conn: Conn, booking_id: UUID) -> Booking | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE b.id = $1", booking_id)
    return _booking(row) if row else None


async def of_sessions(conn: Conn, sessions: Collection[UUID]) -> dict[UUID, Booking]:
    """By session."""
    rows = await conn.fetch(f"{_SELECT} WHERE b.session_id = ANY ($1::uuid[])", list(sessions))
    return {row["session_id"]: _booking(row) for row in rows}


async def lock(conn: Conn, booking_id: UUID) -> Booking | None:
    """The booking, its row locked until the transaction ends."""
    row = await conn.fetchrow(f"{_SELECT} WHERE b.id = $1 FOR UPDATE OF b", booking_id)
    return _booking(row) if row else None


async def lock_of_session(conn: Conn, session_id: UUID) -> Booking | None:
    row = await conn.fetchrow(f"{_SELECT} WHERE b.session_id = $1 FOR UPDATE OF b", session_id)
    return _booking(row) if row else None


async def of_series(conn: Conn, series_id: UUID) -> list[Booking]:
    """The bookings of a series in the order of their times."""
    rows = await conn.fetch(f"{_SELECT} WHERE b.series_id = $1 ORDER BY lower(b.during), b.id", series_id)
    return [_booking(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Group:
    """Who shares a time of a mentor's."""

    id: UUID
    seats: frozenset[int]
    mentees: frozenset[UUID]


async def group_at(
    conn: Conn, mentor_id: UUID, start: datetime, end_: datetime, except_booking: UUID | None, now: datetime
) -> Group | None:
    """The live bookings of exactly [start, end): there is one group of them, or none."""
    row = await conn.fetchrow(
        "SELECT seat_group, array_agg(seat) AS seats, array_agg(mentee_id) AS mentees FROM bookings"
        " WHERE mentor_id = $1 AND during = tstzrange($2, $3, '[)') AND status IN ('hold', 'requested', 'approved')"
        " AND id IS DISTINCT FROM $4 AND (expires_at IS NULL OR expires_at > $5) GROUP BY seat_group",
        mentor_id, start, end_, except_booking, now,
    )  # fmt: skip
    if row is None:
        return None
    return Group(row["seat_group"], frozenset(row["seats"]), frozenset(row["mentees"]))


@dataclass(frozen=True, slots=True)
class Taken:
    """A live booking in the way, with the people it belongs to."""

    clash: Clash
    people: frozenset[UUID]


async def in_the_way(
    conn: Conn,
    people: Sequence[UUID],
    padded: UUID,
    start: datetime,
    end_: datetime,
    pad: timedelta,
    except_booking: UUID | None,
    now: datetime,
    joining: UUID | None = None,
) -> list[Taken]:
    """Live bookings of these people that overlap [start, end); of ``padded``, also those nearer than ``pad``. Those of
    others in the group ``joining`` are in nobody's way.

    What has run out is in nobody's way, even if nobody has put it away yet.
    """
    rows = await conn.fetch(
        "SELECT b.id, b.session_id, b.mentor_id, b.mentee_id, b.status, b.topic, lower(b.during) AS start,"
        " upper(b.during) AS stop FROM bookings b"
        " WHERE b.status IN ('hold', 'requested', 'approved') AND b.id IS DISTINCT FROM $6"
        " AND (b.expires_at IS NULL OR b.expires_at > $7)"
        " AND (b.seat_group IS DISTINCT FROM $8 OR b.mentee_id = ANY($1::uuid[]))"
        " AND ((b.mentor_id = ANY($1::uuid[]) OR b.mentee_id = ANY($1::uuid[])) AND b.during && tstzrange($3, $4, '[)')"
        " OR b.mentor_id = $2 AND b.during && tstzrange($3::timestamptz - $5::interval, $4::timestamptz + $5::interval,"
        " '[)')) ORDER BY lower(b.during), b.id",
        people, padded, start, end_, pad, except_booking, now, joining,
    )  # fmt: skip
    return [
        Taken(
            Clash(
                kind="session" if row["status"] == Status.APPROVED else "booking",
                id=row["session_id"] if row["status"] == Status.APPROVED else row["id"],
                start=row["start"],
                end=row["stop"],
                title=row["topic"],
            ),
            frozenset((row["mentor_id"], row["mentee_id"])),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Filter:
    """None does not filter; ``person`` None is everybody's (for administrators); ``name`` is a part of the name of the
    other side."""

    person: UUID | None
    status: Status | None
    frm: datetime | None
    to: datetime | None
    name: str | None = None


async def listed(conn: Conn, only: Filter, before: tuple[datetime, UUID] | None, limit: int) -> list[Booking]:
    """Bookings that touch [frm, to), the latest start first, those after the (start, id) ``before``."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE ($1::uuid IS NULL OR b.mentor_id = $1 OR b.mentee_id = $1)"
        " AND ($2::text IS NULL OR b.status = $2)"
        " AND ($3::timestamptz IS NULL OR upper(b.during) > $3)"
        " AND ($4::timestamptz IS NULL OR lower(b.during) < $4)"
        " AND ($5::timestamptz IS NULL OR (lower(b.during), b.id) < ($5, $6::uuid))"
        " AND ($8::text IS NULL"
        " OR b.mentor_id IS DISTINCT FROM $1 AND strpos(lower(mentor.name), lower($8)) > 0"
        " OR b.mentee_id IS DISTINCT FROM $1 AND strpos(lower(mentee.name), lower($8)) > 0)"
        " ORDER BY lower(b.during) DESC, b.id DESC LIMIT $7",
        only.person, only.status, only.frm, only.to, before and before[0], before and before[1], limit, only.name,
    )  # fmt: skip
    return [_booking(row) for row in rows]


async def coming(
    conn: Conn, mentor_id: UUID | None, now: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[Booking]:
    """Requests and agreed times (of the mentor; None: of anybody) that begin after ``now``, soonest first, from the
    (start, id) ``after`` on."""
    rows = await conn.fetch(
        f"{_SELECT} WHERE b.status IN ('requested', 'approved') AND lower(b.during) > $2"
        " AND ($1::uuid IS NULL OR b.mentor_id = $1)"
        " AND ($3::timestamptz IS NULL OR (lower(b.during), b.id) > ($3, $4::uuid))"
        " ORDER BY lower(b.during), b.id LIMIT $5",
        mentor_id, now, after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [_booking(row) for row in rows]
