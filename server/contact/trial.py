"""A message sent to oneself, by the channel it would take, before anybody else gets it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import Conn, in_transaction
from server.base.errors import Conflict
from server.base.ids import new_id
from server.contact import store
from server.integrations.channel import Dials
from server.integrations.channels import REGISTRY, in_use
from server.notifications.actions import post_in
from server.notifications.model import Draft, Kind
from server.notifications.preview import Preview, preview
from server.people import actions as people
from server.people.model import User


@dataclass(frozen=True, slots=True)
class Trial:
    """What was sent where; ``copies`` are the devices of a channel that has several."""

    channel: str
    address: str
    subject: str
    copies: int


Also: TypeAlias = Callable[[Conn, Trial], Awaitable[None]]


async def send_test(
    ctx: Context,
    user_id: UUID,
    template: str,
    role: str,
    channel: str,
    language: str,
    zone: ZoneInfo,
    also: Also | None = None,
) -> Trial:
    """Send a text with sample values to this person's own address, number or devices (an operators' text: to the
    team's channel), marked as a test. ``also`` joins the transaction. Who may is the caller's check.

    Raises ``NotFound("template_not_found")`` and ``Conflict``: ``channel_not_set_up``, ``address_unverified``,
    ``no_destination``.
    """
    now = ctx.clock.now()
    shown = preview(ctx.settings, template, role, channel, language, zone, now)
    if channel not in in_use(ctx.settings):
        raise Conflict("channel_not_set_up", "This channel has no provider here.")

    async def work(conn: Conn) -> Trial:
        user = await people.user_in(conn, user_id)
        team = REGISTRY[channel].TRAITS.dials is Dials.TEAM
        subject = f"[Test] {shown.text.subject}"
        targets = [("ops", None)] if team else await _targets_in(conn, user, channel)
        key = f"test:{new_id()}"
        drafts = [
            Draft(
                dedup_key=key,
                session_id=None,
                kind=Kind.TEST,
                channel=channel,
                recipient_id=None if team else user.id,
                role=role,
                address=address,
                subject=subject,
                body=_marked(shown, user, team),
                destination_id=destination_id,
                url=f"{ctx.settings.public_url}/admin/templates",
                there=REGISTRY[channel].TRAITS.dials is Dials.PERSON,
            )
            for address, destination_id in targets
        ]
        await post_in(conn, ctx, drafts)
        trial = Trial(channel, targets[0][0] if len(targets) == 1 else "", subject, len(targets))
        if also is not None:
            await also(conn, trial)
        return trial

    sent = await in_transaction(ctx.pool, work)
    ctx.wake()
    return sent


def _marked(shown: Preview, user: User, team: bool) -> str:
    """A team wonders who it was."""
    return f"{shown.text.body}\nA test by {user.name}.\n" if team else shown.text.body


async def _targets_in(conn: Conn, user: User, channel: str) -> list[tuple[str, UUID | None]]:
    """Own and verified ones only: a test is no way to write to others."""
    dials = REGISTRY[channel].TRAITS.dials
    live = [it for it in await store.numbers(conn, user.id) if it.channel == channel and it.verified_at]
    match dials:
        case Dials.PERSON:
            return [("", None)]
        case Dials.ACCOUNT:
            known = await store.address(conn, user.id)
            if known is None or known.verified_at is None:
                raise Conflict("address_unverified", "Verify your own address first, in your settings.")
            return [(known.email, None)]
        case Dials.DEVICE if live:
            return [(it.address, it.id) for it in live]
        case Dials.NUMBER if live:
            return [(live[-1].address, None)]
    raise Conflict("no_destination", "Add a number or device of your own first, in your settings.")
