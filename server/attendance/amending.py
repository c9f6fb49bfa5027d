"""Verdicts after the first: reviews that people ask for, an administrator's decision, and the money that follows it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from server.attendance import model, store
from server.attendance.actions import owed_for
from server.attendance.evidence import Evidence, evidence_in
from server.attendance.model import (
    REVIEW_FOR,
    REVIEW_REASON_MOST,
    Review,
    ReviewAsked,
    ReviewUpheld,
    Verdict,
    VerdictAmended,
)
from server.attendance.store import OpenSession
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Forbidden, Invalid, NotFound
from server.base.log import logger
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.booking import store as bookings
from server.booking.model import Booking
from server.booking.office import reason_of
from server.ledger import actions as ledger
from server.people.model import Principal, text_faults
from server.sessions import actions as sessions
from server.sessions.model import Outcome

log = logger(__name__)


async def amend(
    ctx: Context, admin_id: UUID, session_id: UUID, outcome: Outcome, reason: str
) -> tuple[Verdict, ...]:
    """Decide otherwise, and say why. The money follows by new transfers, both are told, reviews that wait are answered.

    The same again changes nothing. Returns every step. Raises ``Invalid``, ``NotFound("session_not_found")``,
    ``Conflict`` with ``not_settled`` or ``same_verdict``, and ``InsufficientFunds("insufficient_tokens")`` when the
    mentee has spent what would have to be paid.
    """
    reason = reason_of(reason)

    async def work(conn: Conn) -> bool:
        now = ctx.clock.now()
        session, before = await _settled(conn, session_id)
        if before is outcome:
            last = (await store.verdicts(conn, session_id))[-1]
            if (last.admin_id, last.reason) == (admin_id, reason):
                return False
            raise Conflict("same_verdict", "That is the verdict already.", outcome=outcome.value)
        known = await evidence_in(conn, session, now)
        seq = await store.add_verdict(conn, session_id, outcome, admin_id, reason, known.inputs(), now)
        await store.amend_outcome(conn, session_id, outcome)
        booking = await bookings.lock_of_session(conn, session_id)
        assert booking is not None  # noqa: S101 - a settled session has one
        money = await _correct(conn, ctx, booking, outcome, seq, now)
        waiting = [r.id for r in await store.reviews_of(conn, session_id) if r.answer is None]
        await store.answer_reviews(conn, waiting, "amended", reason, admin_id, now)
        await record(
            conn,
            VerdictAmended(
                session_id,
                now,
                session.mentor_id,
                session.mentee_id,
                admin_id,
                seq,
                before,
                outcome,
                reason,
                *money,
            ),
        )
        return True

    if await in_transaction(ctx.pool, work):
        log.info("verdict_amended", session_id=str(session_id), outcome=outcome)
        ctx.wake()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return tuple(await store.verdicts(conn, session_id))


async def _settled(conn: Conn, session_id: UUID) -> tuple[OpenSession, Outcome]:
    """The session, locked, and its verdict. Raises ``NotFound`` and ``Conflict("not_settled")``."""
    session = await store.lock_session(conn, session_id)
    if session is None:
        raise NotFound("session_not_found", "There is no such session.")
    if session.status != "settled" or session.outcome is None:
        raise Conflict("not_settled", "There is no verdict on this session.", status=session.status)
    return session, Outcome(session.outcome)


async def _correct(
    conn: Conn, ctx: Context, booking: Booking, outcome: Outcome, seq: int, now: datetime
) -> tuple[int, int, int]:
    """(earning, fee, released) as it stands afterwards: what was moved is reversed and settled anew, if the sum
    differs.

    What a payslip has paid already is taken back from the mentor's account all the same; the next payslip is smaller by
    it. The mentee's wallet pays for what he owes now, so it may be too empty for that.
    """
    owed = owed_for(booking, outcome)
    stands = await ledger.standing_in(conn, booking.session_id)
    if stands.earning + stands.fee != owed:
        people = {
            "session_id": booking.session_id,
            "mentor_id": booking.mentor_id,
            "mentee_id": booking.mentee_id,
        }
        stands = await ledger.resettle_in(
            conn, **people, owed=owed, fee_percent=ctx.settings.platform_fee_percent, seq=seq, now=now
        )
    return stands.earning, stands.fee, booking.price_tokens - owed


async def of_session(ctx: Context, principal: Principal, session_id: UUID) -> tuple[Verdict, ...]:
    """Every step of the verdict, for those who may see the session. Raises what `sessions.actions.get` raises."""
    await sessions.get(ctx, principal, session_id)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return tuple(await store.verdicts(conn, session_id))


async def evidence(ctx: Context, session_id: UUID) -> Evidence:
    """What is known of a session now; who may look is the caller's check. Raises ``NotFound("session_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        session = await store.find_session(conn, session_id)
        if session is None:
            raise NotFound("session_not_found", "There is no such session.")
        return await evidence_in(conn, session, ctx.clock.now())


# ---------------------------------------------------------------- reviews


async def ask(ctx: Context, principal: Principal, session_id: UUID, reason: str) -> Review:
    """One of the two asks an administrator to look at the verdict again, once, within seven days of the latest step.

    Asking again with the same words gives the same review. Raises ``Invalid``, ``NotFound``,
    ``Forbidden("not_a_participant")``, and ``Conflict`` with ``not_settled``, ``review_too_late`` or ``review_asked``.
    """
    if faults := text_faults("reason", reason, longest=REVIEW_REASON_MOST, needed=True, lines=True):
        raise Invalid(faults)
    reason = reason.strip()

    async def work(conn: Conn) -> Review:
        now = ctx.clock.now()
        session, _ = await _settled_for(conn, principal, session_id)
        mine = [r for r in await store.reviews_of(conn, session_id) if r.asked_by == principal.user_id]
        if mine:
            if mine[0].reason == reason:
                return mine[0]
            raise Conflict("review_asked", "You have asked for a review of this session already.")
        latest = (await store.verdicts(conn, session.id))[-1]
        if now > latest.at + REVIEW_FOR:
            raise Conflict("review_too_late", f"A review can be asked for within {REVIEW_FOR.days} days.")
        made = await store.add_review(conn, session_id, principal.user_id, reason, now)
        assert made is not None  # noqa: S101 - the session is locked, and there was none
        await record(conn, ReviewAsked(session_id, now, made.id, principal.user_id, reason))
        return made

    made = await in_transaction(ctx.pool, work)
    ctx.wake()
    return made


async def _settled_for(conn: Conn, principal: Principal, session_id: UUID) -> tuple[OpenSession, Outcome]:
    """A stranger learns nothing of how a session stands."""
    session = await store.lock_session(conn, session_id)
    if session is not None and principal.user_id not in (session.mentor_id, session.mentee_id):
        raise Forbidden("not_a_participant", "This session is somebody else's.")
    return await _settled(conn, session_id)


async def uphold(ctx: Context, admin_id: UUID, review_id: UUID, note: str) -> Review:
    """Look again and leave the verdict as it is; who asked is told why. Again: nothing happens.

    Raises ``Invalid``, ``NotFound("review_not_found")`` and ``Conflict("review_answered")`` when it was amended.
    """
    note = reason_of(note)

    async def work(conn: Conn) -> Review:
        now = ctx.clock.now()
        review = await store.lock_review(conn, review_id)
        if review is None:
            raise NotFound("review_not_found", "There is no such review.")
        if review.answer == "amended":
            raise Conflict("review_answered", "The verdict has been changed meanwhile.")
        if review.answer is None:
            await store.answer_reviews(conn, [review_id], "upheld", note, admin_id, now)
            await record(
                conn, ReviewUpheld(review.session_id, now, review_id, review.asked_by, admin_id, note)
            )
        answered = await store.lock_review(conn, review_id)
        assert answered is not None  # noqa: S101 - it was there a moment ago
        return answered

    answered = await in_transaction(ctx.pool, work)
    ctx.wake()
    return answered


async def waiting(ctx: Context, cursor: str | None = None, limit: int | None = None) -> Page[Review]:
    """The reviews that wait for an answer, the longest first. Raises ``Invalid`` for a bad cursor or limit."""
    size = page_size(limit)
    after = decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.open_reviews(conn, after, size + 1)
    return page_of(found, size, lambda review: encode_cursor(review.asked_at, review.id))


async def reviews_of(ctx: Context, session_id: UUID) -> list[Review]:
    """Of one session; who may look is the caller's check."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.reviews_of(conn, session_id)


def may_ask(verdicts: tuple[Verdict, ...], reviews: list[Review], user_id: UUID, now: datetime) -> bool:
    """Whether the person can still ask for a review."""
    asked = any(review.asked_by == user_id for review in reviews)
    return bool(verdicts) and not asked and now <= verdicts[-1].at + model.REVIEW_FOR
