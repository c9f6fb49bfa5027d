"""A person's numbers: given, proved by a code that goes there, replaced, removed."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Conflict, FieldError, Invalid, NotFound
from server.base.ids import new_id
from server.contact import model, store
from server.contact.choices import channels_of
from server.contact.model import CODE_LIFE, DAY, MAX_TRIES, Number, SentCode
from server.integrations.channels import REGISTRY
from server.notifications.actions import enqueue_in, reach_in
from server.notifications.model import Kind
from server.notifications.texts import render
from server.people import actions as people

Also: TypeAlias = Callable[[Conn, Number], Awaitable[None]]


async def add(ctx: Context, user_id: UUID, channel: str, address: str, also: Also | None = None) -> Number:
    """Send a code to a number; the same number again sends another one. A number of the channel that still waits for
    its code is forgotten, a verified one stays in use until this one is.

    ``also`` joins the transaction. Raises ``Invalid`` with all faults, ``Conflict("number_verified")`` and what
    `model.check_sending` raises.
    """
    if faults := model.number_faults(channel, address, model.numbered(channels_of(ctx))):
        raise Invalid(faults)
    to = model.normal_number(address)
    assert to is not None  # noqa: S101 - it had no faults

    async def work(conn: Conn) -> Number:
        now = ctx.clock.now()
        user = await people.user_in(conn, user_id)
        await store.lock_person(conn, user_id)
        await store.lock_number(conn, channel, to)
        live = await store.numbers(conn, user_id)
        number = next((it for it in live if (it.channel, it.address) == (channel, to)), None)
        if number is not None and number.verified_at is not None:
            raise Conflict("number_verified", "This number is verified already.")
        model.check_sending(
            now, user_id, channel, to, await store.sent_codes(conn, user_id, channel, to, now - DAY)
        )
        if number is None:
            number = Number(new_id(), user_id, channel, to, "", now, None)
            await store.end_others(conn, number, verified=False, now=now)
            await store.insert_number(conn, number)
        code, code_id = f"{secrets.randbelow(1_000_000):06}", new_id()
        digest = model.code_hash(ctx.settings.secret_key, number.id, code)
        await store.set_code(conn, number.id, digest, now)
        await store.note_code(conn, code_id, SentCode(user_id, channel, to, now))
        text = render(
            Kind.VERIFY_NUMBER, "person", ZoneInfo(user.timezone),
            {"name": user.name, "code": code, "minutes": int(CODE_LIFE.total_seconds()) // 60},
            channel=channel, form=REGISTRY[channel].TRAITS.form, language=(await reach_in(conn, user)).language,
            link=f"{ctx.settings.public_url}/settings#messages",
        )  # fmt: skip
        await enqueue_in(
            conn, dedup_key=f"code:{code_id}", session_id=None, kind=Kind.VERIFY_NUMBER, recipient=user,
            role=user.role, text=text, calendar=None, ctx=ctx, channel=channel, address=to, expires_at=now + CODE_LIFE,
        )  # fmt: skip
        number = replace(number, code_hash=digest, code_sent_at=now, tries=0)
        if also is not None:
            await also(conn, number)
        return number

    made = await in_transaction(ctx.pool, work)
    ctx.wake()
    return made


async def verify(ctx: Context, user_id: UUID, number_id: UUID, code: str) -> Number:
    """Prove a number by the code that was sent there; it replaces the channel's old one. Twice is fine.

    Raises ``NotFound("destination_not_found")``, ``Invalid`` (``wrong_code``, which counts) and what
    `model.check_code` raises.
    """

    async def work(conn: Conn) -> Number | int:
        now = ctx.clock.now()
        await store.lock_person(conn, user_id)
        number = await _own_in(conn, user_id, number_id)
        if number.verified_at is not None:
            return number
        if not model.check_code(ctx.settings.secret_key, number, code, now):
            await store.wrong_code(conn, number_id)
            return MAX_TRIES - number.tries - 1
        await store.verify_number(conn, number_id, now)
        await store.end_others(conn, number, verified=True, now=now)
        return replace(number, verified_at=now, code_hash=None, code_sent_at=None, tries=0)

    # The refusal is raised outside: inside it would roll the count back.
    result = await in_transaction(ctx.pool, work)
    if isinstance(result, int):
        left = f"{result} more {'try' if result == 1 else 'tries'}." if result else "Ask for a new one."
        raise Invalid([FieldError("code", "wrong_code", f"This is not the code. {left}")])
    return result


async def remove(ctx: Context, user_id: UUID, number_id: UUID) -> None:
    """Nothing goes there any more. Twice is fine. Raises ``NotFound("destination_not_found")``."""

    async def work(conn: Conn) -> None:
        if not await store.owned(conn, user_id, number_id):
            raise _not_found()
        await store.end_number(conn, user_id, number_id, ctx.clock.now())

    await in_transaction(ctx.pool, work)


async def _own_in(conn: Conn, user_id: UUID, number_id: UUID) -> Number:
    for number in await store.numbers(conn, user_id):
        if number.id == number_id:
            return number
    raise _not_found()


def _not_found() -> NotFound:
    return NotFound("destination_not_found", "There is no such number of yours.")
