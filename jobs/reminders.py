"""Reminders of a session: planned when it is agreed, in tiers, and told by a sweep every minute, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from jobs import store
from jobs.confirmations import ask, question_of
from jobs.meetings import BOTH, Meeting, load_meetings
from jobs.store import Planned
from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.ids import new_id
from server.base.log import logger
from server.base.sweeps import for_each
from server.booking.model import Status
from server.confirmations import actions as confirmations
from server.confirmations.model import ASKS_FROM, Question
from server.notifications import actions as notifications
from server.notifications.model import Draft, Kind

log = logger(__name__)

TOLERANCE = timedelta(minutes=11)  # a tick may be that late; after it, the next tier speaks
BATCH = 100  # reminders per transaction
LANES = 3  # transactions at once: while one waits for the database, another one thinks
# The text for a lead of at least so much. None of them says how long it is until then: they may come late.
TEMPLATES = (
    (ASKS_FROM, "reminder_4_hours"),
    (timedelta(minutes=15), "reminder_30_minutes"),
    (timedelta(), "reminder_5_minutes"),
)


def template_for(lead: timedelta) -> str:
    return next(name for least, name in TEMPLATES if lead >= least)


def due_times(
    start: datetime, agreed_at: datetime, leads: Sequence[timedelta]
) -> list[tuple[timedelta, datetime]]:
    """(lead, due) of a session agreed at that instant: a tier whose time had come before is left out.

    When that is so of all, the shortest is due at once: nobody goes without. Nothing for a session that had begun.
    """
    if agreed_at >= start or not leads:
        return []
    ahead = [(lead, start - lead) for lead in leads if start - lead >= agreed_at]
    return ahead or [(min(leads), agreed_at)]


async def plan_in(conn: Conn, ctx: Context, session_id: UUID) -> None:
    """Bring the session's reminders up to its present time and state, in the caller's transaction; idempotent."""
    agreed = await store.agreed_session(conn, session_id)
    now = ctx.clock.now()
    await store.cancel_reminders(conn, session_id, now, keep=agreed.revision if agreed else None)
    current = f"{session_id}:{agreed.revision}:" if agreed else None
    await notifications.withdraw_in(conn, session_id, Kind.REMINDER, keep_prefix=current)
    if agreed is not None:
        planned = due_times(agreed.start, agreed.agreed_at, ctx.settings.reminders)
        await store.plan_reminders(
            conn,
            [
                (new_id(), session_id, agreed.revision, int(lead.total_seconds()), due)
                for lead, due in planned
            ],
        )


async def remind(ctx: Context, lanes: int = LANES) -> int:
    """Tell both people of every reminder that is due; returns the messages written. Safe to run anywhere at once.

    One that is later than TOLERANCE is noted as missed. A reminder that fails harms no other, and is tried again by
    the next sweep for as long as it is not too late. Raises an ``ExceptionGroup`` of the failures at the end.
    """
    sweep = _Sweep((datetime.min.replace(tzinfo=ctx.clock.now().tzinfo), UUID(int=0)))
    failures: list[Exception] = []
    try:
        await _plan_forgotten(ctx)
    except ExceptionGroup as failed:
        failures += failed.exceptions
    async with asyncio.TaskGroup() as tasks:
        for _ in range(lanes):
            tasks.create_task(_lane(ctx, sweep))
    failures += sweep.failures.values()
    if failures:
        raise ExceptionGroup(f"{len(failures)} sessions could not be reminded of", failures)
    return sweep.told


@dataclass(slots=True)
class _Sweep:
    """What the lanes of a sweep share. ``after``: (due, id) of the last reminder that one of them has taken.
    ``failures`` by session: a lane that had to wait for its connection may meet one again that another has left."""

    after: tuple[datetime, UUID]
    told: int = 0
    failures: dict[UUID, Exception] = field(default_factory=dict)


async def _lane(ctx: Context, sweep: _Sweep) -> None:
    """Batch after batch, each in a transaction, behind what the lanes have taken already."""

    async def work(conn: Conn) -> tuple[int, int, dict[UUID, Exception]]:
        batch = await store.claim_reminders(conn, ctx.clock.now(), after, BATCH)
        if batch:
            sweep.after = max(sweep.after, (batch[-1].due_at, batch[-1].id))
        try:
            async with conn.transaction():
                return await _tell(conn, ctx, batch), len(batch), {}
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            raise  # the whole transaction is repeated
        except Exception:  # noqa: BLE001 - told by `_alone`, where it is known whose it is
            failures: dict[UUID, Exception] = {}
            told = sum([await _alone(conn, ctx, planned, failures) for planned in batch])
            return told, len(batch), failures

    while True:
        after = sweep.after
        told, taken, failures = await in_transaction(ctx.pool, work)
        sweep.told += told
        sweep.failures |= failures
        if taken == 0:
            return


async def _alone(conn: Conn, ctx: Context, planned: Planned, failures: dict[UUID, Exception]) -> int:
    """One reminder in a savepoint; adds to ``failures`` what is wrong with it."""
    try:
        async with conn.transaction():
            return await _tell(conn, ctx, [planned])
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
        raise
    except Exception as error:
        log.exception("reminder_failed", session_id=str(planned.session_id))
        failures[planned.session_id] = error
        return 0


async def _plan_forgotten(ctx: Context) -> None:
    """Sessions without reminders, whose fact is still in the queue or is a dead letter: they must not wait for it."""
    if not ctx.settings.reminders:
        return
    now = ctx.clock.now()
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        forgotten = await store.without_reminders(conn, now, now + max(ctx.settings.reminders))

    async def plan(session_id: UUID) -> int:
        await in_transaction(ctx.pool, lambda conn: plan_in(conn, ctx, session_id))
        return 1

    await for_each(ctx, "sessions without reminders", forgotten, plan)


async def _tell(conn: Conn, ctx: Context, batch: Sequence[Planned]) -> int:
    """Tell of these reminders, with as many statements for all as for one; returns the messages written."""
    if not batch:
        return 0
    now = ctx.clock.now()
    meetings = await load_meetings(conn, ctx, [planned.session_id for planned in batch])
    states = {planned.id: _status(meetings[planned.session_id], planned, now) for planned in batch}
    told = [planned for planned in batch if states[planned.id] == "sent"]
    # Only of these: what is too late is put away also when something is wrong with its people.
    people = {who.id: who for planned in told for who in meetings[planned.session_id].people.values()}
    reaches = await notifications.reaches_in(conn, people.values())
    written: list[Draft] = []
    questions: list[Question] = []
    for planned in told:
        meeting = meetings[planned.session_id]
        start, lead = meeting.occasion.start, timedelta(seconds=planned.lead_seconds)
        key, template = f"{planned.session_id}:{planned.revision}:{planned.lead_seconds}", template_for(lead)
        if lead >= ASKS_FROM:
            questions.append(question_of(meeting))
            written += ask(ctx, meeting, reaches, key, template, start)
        else:
            for role in BOTH:
                written += meeting.drafts(
                    ctx, reaches, role, Kind.REMINDER, key, template=template, expires_at=start
                )
    if questions:
        await confirmations.ask_in(conn, ctx, questions)
    count = await notifications.post_in(conn, ctx, written)
    await store.settle_reminders(conn, list(states.items()), now)
    return count


def _status(meeting: Meeting, planned: Planned, now: datetime) -> str:
    """What becomes of the reminder."""
    if meeting.status is not Status.APPROVED or meeting.occasion.revision != planned.revision:
        return "cancelled"
    if now >= meeting.occasion.start or now > planned.due_at + TOLERANCE:
        log.warning("reminder_missed", session_id=str(planned.session_id), lead_seconds=planned.lead_seconds)
        return "missed"
    return "sent"
