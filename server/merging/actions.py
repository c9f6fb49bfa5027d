"""Merge sessions into one room, undo it, and read the log of both; every change in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server.availability import store as availability
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction, no_more
from server.base.errors import Conflict, FieldError, Invalid, NotFound
from server.base.ids import new_id
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.booking import office
from server.booking import store as bookings
from server.booking.model import Clash, Seat, next_seat
from server.merging import model, store
from server.merging.model import Merge, Merged, SessionsMerged, SessionsUnmerged
from server.people.store import lock_people
from server.sessions import rooms
from server.sessions import store as sessions
from server.sessions.model import Room, Session, SessionMoved, SessionStatus

_NOTHING = timedelta()
_SEATS = 100  # of a group, at most


async def merge(
    ctx: Context,
    admin_id: UUID,
    session_ids: Sequence[UUID],
    into: UUID,
    reason: str,
    then: Callable[[Conn, Merge], Awaitable[None]] = no_more,
) -> Merge:
    """Let these sessions, with all who share their rooms, meet in the room of ``into``, at its time; ``then`` joins the
    transaction.

    Again: nothing changes, and the answer is the merge that brought them there. Raises ``Invalid``, ``NotFound``, and
    ``Conflict`` with what `model.must_fit` raises, ``booking_conflict`` with ``conflicts`` when one of the people has
    something else at that time, ``group_full``, or ``changed_meanwhile``.
    """
    reason = office.reason_of(reason)
    if not 1 <= len(set(session_ids) - {into}) <= model.MOST:
        raise Invalid([FieldError("session_ids", "out_of_range", f"Name 1 to {model.MOST} other sessions.")])

    async def work(conn: Conn) -> Merge:
        now = ctx.clock.now()
        target, others = await _meant(conn, session_ids, into)
        await _lock(conn, [*target.sessions, *others])
        again, still = await _meant(conn, session_ids, into)
        if {s.id for s in (*target.sessions, *others)} != {s.id for s in (*again.sessions, *still)}:
            raise Conflict("changed_meanwhile", "Somebody has changed these sessions just now: look again.")
        if still:
            model.must_fit(again.first, still, now)
            made = await _merge(conn, admin_id, again, still, reason, now)
        else:
            made = await _known(conn, [*session_ids, into])
        await then(conn, made)
        return made

    done = await in_transaction(ctx.pool, work)
    ctx.wake()
    return done


async def _meant(conn: Conn, session_ids: Iterable[UUID], into: UUID) -> tuple[Room, list[Session]]:
    """The room of ``into``, and the sessions of the other rooms, each room's first session first."""
    target = await rooms.room_in(conn, into)
    found: dict[UUID, Session] = {}
    for session_id in session_ids:
        found |= {session.id: session for session in (await rooms.room_in(conn, session_id)).sessions}
    return target, [session for session in found.values() if session.room_id != target.id]


async def _lock(conn: Conn, found: Sequence[Session]) -> None:
    await lock_people(conn, {person for s in found for person in (s.mentor_id, s.mentee_id)})
    await store.lock_sessions(conn, [session.id for session in found])


async def _known(conn: Conn, session_ids: Sequence[UUID]) -> Merge:
    """The merge that made one room of these. Raises ``Conflict("same_room")``: a group's seats were never merged."""
    merge_id = await store.latest_of(conn, session_ids)
    known = None if merge_id is None else await store.merge(conn, merge_id)
    if known is None:
        raise Conflict("same_room", "These sessions meet in one room already.")
    return known


async def _merge(
    conn: Conn, admin_id: UUID, target: Room, others: Sequence[Session], reason: str, now: datetime
) -> Merge:
    first, merge_id = target.first, new_id()
    if clashes := [clash for other in others for clash in await _in_the_way(conn, other, first, now)]:
        raise _conflict(clashes)
    mentees = [session.mentee_id for session in (*target.sessions, *others)]
    if len(set(mentees)) < len(mentees):
        raise Conflict("same_mentee", "Two of these sessions are of one mentee, who cannot be there twice.")
    where = await store.place(conn, first.id)
    taken = await store.seats_of(conn, where.seat_group)
    lines: list[Merged] = []
    for other in others:
        number = next_seat(taken, _SEATS)
        if number is None:
            raise Conflict("group_full", f"A room has {_SEATS} seats.")
        taken.add(number)
        before = await store.place(conn, other.id)
        seat = Seat(where.seat_group, number)
        await _move(conn, admin_id, other, first.start, first.end, seat, reason, now)
        after = model.Place(first.start, first.end, first.id, *seat)
        lines.append(Merged(other.id, before, after))
    await sessions.set_room(conn, [other.id for other in others], first.id)
    await store.merge_chats(conn, first.id, [other.id for other in others])
    for line in (*lines, Merged(first.id, where, where)):
        if line.session_id != first.id:
            await store.write(conn, merge_id, "merged", first.id, admin_id, reason, line, now)
        await record(
            conn,
            SessionsMerged(
                line.session_id, now, merge_id, first.id, admin_id, reason, line.after.start, line.after.end,
                line.before.start, line.before.end,
            ),
        )  # fmt: skip
    return Merge(merge_id, first.id, admin_id, reason, now, None, tuple(lines))


async def _in_the_way(
    conn: Conn, other: Session, first: Session, now: datetime, *, mentor: bool = False
) -> list[Clash]:
    """What else the mentee, and the mentor if she moves with him, has at the time of ``first``."""
    people = (other.mentee_id, other.mentor_id) if mentor else (other.mentee_id,)
    taken = await bookings.in_the_way(
        conn, people, other.mentee_id, first.start, first.end, _NOTHING, other.booking_id, now
    )
    clashes = [each.clash for each in taken]
    for each in await availability.appointments(conn, people, first.start, first.end):
        clashes.append(Clash("calendar", each.id, each.start, each.end, each.title))
    return clashes


def _conflict(clashes: Sequence[Clash]) -> Conflict:
    """Administrators see bookings as such; what is in people's calendars is theirs."""
    shown = [clash.document() | ({"title": "Busy"} if clash.kind == "calendar" else {}) for clash in clashes]
    return Conflict("booking_conflict", "Something else is at that time.", conflicts=shown)


async def _move(
    conn: Conn,
    admin_id: UUID,
    session: Session,
    start: datetime,
    end: datetime,
    seat: Seat,
    reason: str,
    now: datetime,
) -> None:
    moved = await office.move_in(conn, admin_id, session.booking_id, start, end, seat, reason, now)
    if (start, end) != (session.start, session.end):
        await sessions.move(conn, session.id, start, end)
        await record(
            conn,
            SessionMoved(session.id, now, moved.id, moved.mentor_id, moved.mentee_id, start, end),
        )


async def undo(ctx: Context, admin_id: UUID, merge_id: UUID, reason: str) -> Merge:
    """Put the merged sessions back where they were, those of them that were not cancelled meanwhile. Again: nothing
    changes.

    Raises ``Invalid``, ``NotFound("merge_not_found")``, and ``Conflict`` with ``session_begun``, ``merge_overtaken``
    when one was moved since, or ``booking_conflict`` when its old time is taken.
    """
    reason = office.reason_of(reason)

    async def work(conn: Conn) -> Merge:
        now = ctx.clock.now()
        known = await _find(conn, merge_id)
        ids = [line.session_id for line in known.sessions]
        meeting = [s for session_id in ids for s in await sessions.in_room(conn, session_id)]
        await _lock(conn, meeting)
        known = await _find(conn, merge_id)
        if known.undone_at is None:
            await _undo(conn, admin_id, known, reason, now)
        return await _find(conn, merge_id)

    done = await in_transaction(ctx.pool, work)
    ctx.wake()
    return done


async def _undo(conn: Conn, admin_id: UUID, known: Merge, reason: str, now: datetime) -> None:
    back: list[tuple[Session, Merged]] = []
    for line in known.sessions:
        session = await sessions.session(conn, line.session_id)
        assert session is not None  # noqa: S101 - the log refers to it
        if session.status is SessionStatus.CANCELLED:
            continue
        model.not_begun(session, now)
        if (session.start, session.end) != (line.after.start, line.after.end):
            raise Conflict("merge_overtaken", "One of these sessions has been moved since.")
        back.append((session, line))
    if not back:
        raise Conflict("merge_overtaken", "Nothing of this merge is left to be taken apart.")
    for session, line in back:
        old = line.before
        await rooms.leave_in(conn, session.id)
        taken = await store.seats_of(conn, old.seat_group)
        free = old.seat if old.seat not in taken else next_seat(taken, _SEATS)
        if free is None:
            raise Conflict("group_full", f"A room has {_SEATS} seats.")
        seat = Seat(old.seat_group, free)
        if clashes := await _in_old_time(conn, session, old, now):
            raise _conflict(clashes)
        await _move(conn, admin_id, session, old.start, old.end, seat, reason, now)
    await _rooms_of_before(conn, {line.session_id: line.before.room_id for _, line in back})
    for session, _ in back:
        await store.split_chat(conn, session.id)
    for session, line in back:
        after = await store.place(conn, session.id)
        await store.write(
            conn, known.id, "unmerged", known.room_id, admin_id, reason,
            Merged(session.id, line.after, after), now,
        )  # fmt: skip
        await record(
            conn,
            SessionsUnmerged(
                session.id, now, known.id, known.room_id, admin_id, reason, after.start, after.end
            ),
        )


async def _rooms_of_before(conn: Conn, meant: dict[UUID, UUID]) -> None:
    """Who shared a room shares it again, with whoever has taken a seat of their group since."""
    for room in set(meant.values()):
        together = sorted(session for session, before in meant.items() if before == room)
        root = room if room in meant else together[0]  # whose room it was may have been cancelled since
        there = await sessions.room_of_group(conn, root)
        await sessions.set_room(conn, together, root if there is None or there in meant else there)


async def _in_old_time(conn: Conn, session: Session, old: model.Place, now: datetime) -> list[Clash]:
    """What took the old time since: anything of the mentee's, and of the mentor's but her group of then."""
    if (session.start, session.end) == (old.start, old.end):
        return []
    taken = await bookings.in_the_way(
        conn, (session.mentor_id, session.mentee_id), session.mentee_id, old.start, old.end, _NOTHING,
        session.booking_id, now,
    )  # fmt: skip
    group = await bookings.group_at(conn, session.mentor_id, old.start, old.end, session.booking_id, now)
    own = group is not None and group.id == old.seat_group
    return [t.clash for t in taken if session.mentee_id in t.people or not own]


async def _find(conn: Conn, merge_id: UUID) -> Merge:
    if (known := await store.merge(conn, merge_id)) is None:
        raise NotFound("merge_not_found", "There is no such merge.")
    return known


async def get(ctx: Context, merge_id: UUID) -> Merge:
    """Raises ``NotFound("merge_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await _find(conn, merge_id)


async def listed(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Merge]:
    """The newest first."""
    size, before = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.merges(conn, before, size + 1)
    return page_of(found, size, lambda it: encode_cursor(it.at, it.id))
