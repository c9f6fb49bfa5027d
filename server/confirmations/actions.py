"""Ask the two people of a session whether they come, take their answers, and notice who has not answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Forbidden, Gone, NotFound
from server.base.store import record
from server.booking import steps as bookings
from server.booking.model import Booking
from server.confirmations import store
from server.confirmations.model import (
    MISSED_AT,
    TIME_TO_ANSWER,
    Answer,
    Confirmation,
    ConfirmationAnswered,
    ConfirmationAsked,
    ConfirmationMissing,
    Question,
    Step,
    newest,
)
from server.confirmations.store import Ahead
from server.confirmations.tickets import Purpose, Ticket, Verb, read
from server.people.model import Principal
from server.sessions import actions as sessions
from server.sessions.model import Session, SessionStatus

BATCH = 20  # sessions per transaction
PAGE, MAIL = "page", "email"


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of an answer: ``changed`` when it says something new, ``overtaken`` when a newer one was here."""

    session: Session
    answer: Answer
    previous: Answer | None
    changed: bool
    late: bool
    overtaken: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """What stands behind a link."""

    ticket: Ticket
    session: Session
    booking: Booking
    confirmation: Confirmation


async def ask_in(conn: Conn, ctx: Context, questions: Sequence[Question]) -> None:
    """Note that people were asked, once for each session and revision; it joins the transaction of who sends the
    questions."""
    now = ctx.clock.now()
    asked = await store.ask(conn, questions, MAIL, now)
    await record(
        conn,
        *(
            ConfirmationAsked(it.session_id, now, it.revision, it.start, it.users)
            for it in questions
            if it.session_id in asked
        ),
    )


async def answer(
    ctx: Context, user_id: UUID, session_id: UUID, said: Answer, channel: str, revision: int | None = None
) -> Answered:
    """Say whether one comes, or say it otherwise; the same again changes nothing. Raises as `answer_in`."""

    async def work(conn: Conn) -> Answered:
        return await answer_in(conn, ctx, user_id, session_id, said, channel, revision=revision)

    done = await in_transaction(ctx.pool, work)
    ctx.wake()
    return done


async def answer_in(
    conn: Conn,
    ctx: Context,
    user_id: UUID,
    session_id: UUID,
    said: Answer,
    channel: str,
    *,
    revision: int | None = None,
    said_at: datetime | None = None,
) -> Answered:
    """`answer` in the caller's transaction. ``revision`` is what the question was about, where that is known, and
    ``said_at`` what the person's telephone says of when, which is believed as long as it is not in the future.

    Raises ``NotFound("session_not_found")``, ``Forbidden("not_a_participant")``, ``Conflict`` with
    ``session_cancelled``, ``session_begun`` or ``not_asked``, ``Gone("session_moved")``.
    """
    await store.lock_session(conn, session_id)
    session = await sessions.session_in(conn, session_id)
    if session.role_of(user_id) is None:
        raise Forbidden("not_a_participant", "This session is somebody else's.")
    now = ctx.clock.now()
    current = (await bookings.booking_in(conn, session.booking_id)).revision
    open_for_answers(session, current if revision is None else revision, current, now)
    own = [step for step in await store.steps(conn, session_id, current) if step.user_id == user_id]
    if not own:
        raise Conflict("not_asked", "We ask about four hours before the session; until then just leave it.")
    before = newest(own)
    previous = before.answer if before is not None else None
    when = min(said_at or now, now)
    overtaken = before is not None and before.said_at > when
    late = await store.was_missed(conn, session_id, current)
    result = Answered(session, said, previous, previous is not said, late, overtaken)
    if not result.changed and not overtaken:
        return result
    step = Step(user_id, own[-1].step + 1, said, channel, late, when, now)
    await store.add(conn, session_id, current, step)
    if overtaken:  # kept for the record; what was said later stands
        return replace(result, changed=False)
    await record(
        conn,
        ConfirmationAnswered(session_id, now, current, user_id, step.step, said, previous, channel, late),
    )
    return result


def open_for_answers(session: Session, revision: int, current: int, now: datetime) -> None:
    """Raises as `answer_in` does for the session's state."""
    if session.status is SessionStatus.CANCELLED:
        raise Conflict(
            "session_cancelled", "This session was called off, so there is nothing to answer any more."
        )
    if session.status is SessionStatus.SETTLED or now >= session.start:
        raise Conflict(
            "session_begun", "The session has already begun, so there is nothing to answer any more."
        )
    if revision != current:
        raise Gone(
            "session_moved", "This was about another time: the session has moved since, or was changed."
        )


async def open_link(ctx: Context, token: str) -> Opened:
    """What the link is for, without doing it: programs that look into mails open links, too.

    Raises ``NotFound("link_invalid")`` and as `open_for_answers`.
    """
    ticket = read_link(ctx, token)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        session = await sessions.session_in(conn, ticket.session_id)
        booking = await bookings.booking_in(conn, session.booking_id)
        found = await store.of_sessions(conn, [session.id])
    open_for_answers(session, ticket.revision, booking.revision, ctx.clock.now())
    return Opened(ticket, session, booking, found[session.id])


async def follow(ctx: Context, token: str) -> Answered:
    """Answer what the link says, as often as it is pressed. Raises as `open_link` and `answer_in`."""
    ticket = read_link(ctx, token)
    said = Answer(ticket.verb.value)
    return await answer(ctx, ticket.user_id, ticket.session_id, said, MAIL, ticket.revision)


def read_link(ctx: Context, token: str) -> Ticket:
    ticket = read(ctx.settings, Purpose.LINK, token)
    if ticket is None or ticket.verb not in (Verb.YES, Verb.NO, Verb.MOVE):
        raise NotFound("link_invalid", "This is not a link of ours; perhaps the mail cut it in two.")
    return ticket


async def of_session(ctx: Context, principal: Principal, session_id: UUID) -> tuple[Session, Confirmation]:
    """For its two people and administrators. Raises as `sessions.get`."""
    session = await sessions.get(ctx, principal, session_id)
    return session, (await of_sessions(ctx, [session_id]))[session_id]


async def of_sessions(ctx: Context, found: Collection[UUID]) -> Mapping[UUID, Confirmation]:
    """By session; who may look is the caller's check."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.of_sessions(conn, found)


async def asked_ahead_in(conn: Conn, ctx: Context, users: Collection[UUID]) -> list[Ahead]:
    """The sessions these people were asked about and that have not begun, the next one first."""
    return await store.asked_ahead(conn, users, ctx.clock.now())


async def note_missing(ctx: Context) -> int:
    """Note each session that begins within two hours and about which somebody was asked and has not answered, once for
    each of its times; returns how many. Safe to run anywhere at once."""

    async def work(conn: Conn) -> int:
        now = ctx.clock.now()
        found = await store.claim_unanswered(conn, now, now + MISSED_AT, now - TIME_TO_ANSWER, BATCH)
        for it in found:
            if await store.note_missing(conn, it.session_id, it.revision, now):
                await record(conn, ConfirmationMissing(it.session_id, now, it.revision, it.start, it.users))
        return len(found)

    noted = 0
    while count := await in_transaction(ctx.pool, work):
        noted += count
    if noted:
        ctx.wake()
    return noted
