"""Review a person's no-shows, say how one stands, appeal, answer an appeal, and lift a restriction."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Invalid, NotFound
from server.base.paging import Page, decode_position, encode_cursor, page_of, page_size
from server.base.store import record
from server.conduct import model, store
from server.conduct.model import RULES, Appeal, ConductStepTaken, Next, Standing, Step, StepKind
from server.conduct.store import Found
from server.people.store import lock_people

# Verdicts can be amended for months: as far back as steps are reviewed. Twice what the rules look.
_BACK: Final = 2 * max(rule.within for rule in RULES)


async def review_in(conn: Conn, person_id: UUID, now: datetime) -> tuple[Next, ...]:
    """Take the steps that follow from the person's no-shows as they are known now. Again: nothing more follows.

    After most sessions nothing does: only what might is looked at again under the person's lock.
    """
    if not await _judged(conn, person_id, now):
        return ()
    await lock_people(conn, [person_id])
    found = await _judged(conn, person_id, now)
    for each in found:
        await _take(conn, person_id, each, None, now)
    return found


async def _judged(conn: Conn, person_id: UUID, now: datetime) -> tuple[Next, ...]:
    misses = await store.misses_of(conn, person_id, now - _BACK)
    return model.judge(misses, await store.steps_of(conn, person_id), now)


async def _take(conn: Conn, person_id: UUID, taken: Next, actor_id: UUID | None, now: datetime) -> None:
    identity = await store.add(conn, person_id, taken, actor_id, now)
    await record(conn, ConductStepTaken(taken.session_id, now, identity, person_id, taken.kind))


async def step_in(conn: Conn, step_id: UUID) -> Step:
    """Raises ``NotFound("restriction_not_found")``."""
    if (found := await store.step(conn, step_id)) is None:
        raise NotFound("restriction_not_found", "There is no such restriction.")
    return found


async def standing_in(conn: Conn, person_id: UUID, now: datetime) -> Standing:
    return model.standing(
        await store.misses_of(conn, person_id, now - _BACK), await store.steps_of(conn, person_id), now
    )


async def standing(ctx: Context, person_id: UUID) -> Standing:
    """How the person stands now."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await standing_in(conn, person_id, ctx.clock.now())


async def restricted_until(ctx: Context, person_id: UUID) -> datetime | None:
    """Until when the person may neither book nor be booked; None: free."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return (await store.restricted(conn, [person_id], ctx.clock.now())).get(person_id)


async def appeal(ctx: Context, person_id: UUID, words: str) -> Standing:
    """Ask an administrator to look at the restriction that holds; once for each. The same words again: nothing happens.

    Raises ``Invalid``, ``Conflict`` with ``not_restricted`` or ``already_appealed``.
    """
    if faults := model.words_faults("text", words):
        raise Invalid(faults)
    said = words.strip()

    async def work(conn: Conn) -> Standing:
        now = ctx.clock.now()
        await lock_people(conn, [person_id])
        known = await standing_in(conn, person_id, now)
        held = known.restriction
        if held is None:
            raise Conflict("not_restricted", "You are free to book.")
        if known.appeal is not Appeal.NONE:
            mine = [s.words for s in known.steps if s.about == held.id and s.kind is StepKind.APPEALED]
            if known.appeal is Appeal.OPEN and mine == [said]:
                return known
            raise Conflict("already_appealed", "You have appealed against this already.")
        made = Next(StepKind.APPEALED, held.session_id, about=held.id, words=said)
        await _take(conn, person_id, made, person_id, now)
        return await standing_in(conn, person_id, now)

    made = await in_transaction(ctx.pool, work)
    ctx.wake()
    return made


async def accept(ctx: Context, admin_id: UUID, restriction_id: UUID, reason: str) -> Standing:
    """The appeal is right: the restriction ends, and its sessions count no more. Twice is fine.

    Raises ``Invalid``, ``NotFound("restriction_not_found")``, ``Conflict("no_open_appeal")``.
    """
    return await _answer(ctx, admin_id, restriction_id, StepKind.APPEAL_ACCEPTED, reason)


async def reject(ctx: Context, admin_id: UUID, restriction_id: UUID, reason: str) -> Standing:
    """The restriction stands. Twice is fine. Raises as `accept`."""
    return await _answer(ctx, admin_id, restriction_id, StepKind.APPEAL_REJECTED, reason)


async def lift(ctx: Context, admin_id: UUID, restriction_id: UUID, reason: str) -> Standing:
    """End it early; its sessions go on counting. Twice is fine. Raises as `accept`, and
    ``Conflict("not_in_force")``."""
    return await _answer(ctx, admin_id, restriction_id, StepKind.LIFTED, reason)


async def _answer(
    ctx: Context, admin_id: UUID, restriction_id: UUID, kind: StepKind, reason: str
) -> Standing:
    if faults := model.words_faults("reason", reason):
        raise Invalid(faults)

    async def work(conn: Conn) -> Standing:
        now = ctx.clock.now()
        person_id = (await step_in(conn, restriction_id)).person_id
        await lock_people(conn, [person_id])
        held = await step_in(conn, restriction_id)
        if held.kind is not StepKind.RESTRICTED:
            raise NotFound("restriction_not_found", "There is no such restriction.")
        steps = await store.steps_of(conn, person_id)
        if model.next_answer(steps, held, kind, now):
            made = Next(kind, held.session_id, about=held.id, words=reason.strip())
            await _take(conn, person_id, made, admin_id, now)
            await review_in(conn, person_id, now)
        return await standing_in(conn, person_id, now)

    done = await in_transaction(ctx.pool, work)
    ctx.wake()
    return done


async def cases(
    ctx: Context, *, appeals: bool, cursor: str | None = None, limit: int | None = None
) -> Page[Found]:
    """Restrictions with an open appeal, or all that hold; those that end first, first."""
    size, after = page_size(limit), decode_position(cursor)
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        found = await store.cases(conn, ctx.clock.now(), appeals=appeals, after=after, limit=size + 1)
    return page_of(
        found, size, lambda it: encode_cursor(it.restriction.until or it.restriction.at, it.restriction.id)
    )
