"""Switch a browser's push messages on and off."""

from __future__ import annotations

from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, FieldError, Invalid
from server.devices import store
from server.devices.store import Device
from server.integrations.push import Subscription, is_local

MAX_DEVICES = 10  # live ones of a person; a newer one ends the oldest
MAX_LABEL = 100  # characters


async def subscribe(
    ctx: Context, user_id: UUID, *, endpoint: str, p256dh: str, auth: str, label: str
) -> Device:
    """Make this browser the person's, at once verified. Twice changes nothing more.

    Whose it was before gets nothing there any more. Raises ``Conflict("push_unavailable")`` without a key of ours and
    ``Invalid`` for what is no subscription, all faults at once.
    """
    if ctx.settings.vapid is None:
        raise Conflict("push_unavailable", "This installation has no key for push messages.")
    subscription = Subscription(endpoint, p256dh, auth)
    faults = [
        FieldError(it.field, it.code, it.text) for it in subscription.faults(local=is_local(ctx.settings))
    ]
    label = " ".join(label.split())
    if len(label) > MAX_LABEL:
        faults.append(FieldError("label", "too_long", f"At most {MAX_LABEL} characters."))
    if faults:
        raise Invalid(faults)

    async def work(conn: Conn) -> Device:
        now = ctx.clock.now()
        await store.lock_endpoint(conn, subscription.endpoint)
        known = await store.by_endpoint(conn, subscription.endpoint)
        if known is not None and known.user_id == user_id:
            await store.update(conn, known.id, subscription.address, label)
            return Device(known.id, user_id, subscription.address, label, known.created_at)
        if known is not None:
            await store.end(conn, known.id, "taken over", now)
        made = await store.insert(conn, user_id, subscription.address, label, now)
        await store.end_beyond(conn, user_id, MAX_DEVICES, now)
        return made

    return await in_transaction(ctx.pool, work)


async def unsubscribe(ctx: Context, user_id: UUID, endpoint: str) -> None:
    """Nothing more to this browser. Also when it is not there, or somebody else's: then nothing changes."""

    async def work(conn: Conn) -> None:
        await store.lock_endpoint(conn, endpoint)
        known = await store.by_endpoint(conn, endpoint)
        if known is not None and known.user_id == user_id:
            await store.end(conn, known.id, "removed", ctx.clock.now())

    await in_transaction(ctx.pool, work)


async def devices(ctx: Context, user_id: UUID) -> list[Device]:
    """The person's browsers, the newest first."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.of_person(conn, user_id)
