"""What a person is told, and where: shown, changed, and ended by the link in a mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, Invalid
from server.contact import model, store
from server.contact.model import Change, Line, Number
from server.contact.store import Address
from server.integrations.channel import Dials, Traits
from server.integrations.channels import REGISTRY, Registry, in_use, team_channels
from server.notifications.actions import reach_in
from server.notifications.kinds import KINDS
from server.notifications.model import EMAIL, Kind
from server.notifications.preferences import read_unsubscribe
from server.notifications.reach import Quiet, Reach, fixed, wanted
from server.notifications.tongues import TONGUES
from server.people import actions as people
from server.people.model import User

Needs: TypeAlias = Literal["verified_address", "verified_number", "device", "nothing"]
_NEEDS: Final[Mapping[Dials, Needs]] = MappingProxyType(
    {Dials.ACCOUNT: "verified_address", Dials.NUMBER: "verified_number", Dials.DEVICE: "device"}
)


@dataclass(frozen=True, slots=True)
class Open:
    """A channel that messages are written for, and whether it reaches this person yet."""

    name: str
    label: str
    needs: Needs
    disturbs: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """All that a person can choose about messages."""

    user: User
    address: Address
    language: str
    quiet: Quiet | None
    channels: tuple[Open, ...]
    lines: tuple[Line, ...]
    numbers: tuple[Number, ...]


def channels_of(ctx: Context, registry: Registry = REGISTRY) -> list[tuple[str, Traits]]:
    """The channels a person can be reached by, in the registry's order."""
    open_to_us = in_use(ctx.settings, registry)
    return [
        (name, module.TRAITS)
        for name, module in registry.items()
        if name in open_to_us and module.TRAITS.dials is not Dials.TEAM
    ]


async def overview(ctx: Context, user_id: UUID) -> Overview:
    """Raises ``NotFound("user_not_found")``."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await _overview_in(conn, ctx, await people.user_in(conn, user_id))


async def _overview_in(conn: Conn, ctx: Context, user: User) -> Overview:
    reach = await reach_in(conn, user)
    address = await store.address(conn, user.id)
    assert address is not None  # noqa: S101 - the user was read a moment ago
    channels = channels_of(ctx)
    return Overview(
        user=user,
        address=address,
        language=reach.language,
        quiet=reach.quiet,
        channels=tuple(
            Open(
                name,
                traits.label,
                _NEEDS.get(traits.dials, "nothing"),
                traits.disturbs,
                _ready(name, traits, reach),
            )
            for name, traits in channels
        ),
        lines=model.matrix(user.role, channels, reach.choices or {}, team=bool(team_channels(ctx.settings))),
        numbers=tuple(await store.numbers(conn, user.id)),
    )


def _ready(name: str, traits: Traits, reach: Reach) -> bool:
    match traits.dials:
        case Dials.ACCOUNT:
            return reach.verified
        case Dials.NUMBER | Dials.DEVICE:
            return any(it.channel == name for it in reach.destinations)
    return True


async def change(ctx: Context, user_id: UUID, wish: Change) -> Overview:
    """Change what is given and nothing else; what equals the default is not kept.

    Raises ``Invalid`` with all faults.
    """

    async def work(conn: Conn) -> Overview:
        user = await people.user_in(conn, user_id)
        await store.lock_person(conn, user_id)
        before = await _overview_in(conn, ctx, user)
        if faults := model.change_faults(wish, before.lines, TONGUES):
            raise Invalid(faults)
        now = ctx.clock.now()
        default = {
            (line.kind.value, cell.channel): cell.default for line in before.lines for cell in line.cells
        }
        choices = [
            (it.kind, it.channel, None if it.on is default[it.kind, it.channel] else it.on) for it in wish.choices
        ]  # fmt: skip
        if choices:
            await store.set_choices(conn, user_id, choices, now)
        if wish.language is not None or wish.sets_quiet:
            quiet = model.quiet_of(wish.quiet) if wish.sets_quiet else before.quiet
            await store.set_settings(conn, user_id, wish.language or before.language, quiet, now)
        return await _overview_in(conn, ctx, user)

    return await in_transaction(ctx.pool, work)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whose mails of which kind a link in a mail is about, and whether they come."""

    user: User
    kind: Kind
    title: str
    on: bool
    fixed: bool


async def open_unsubscribe(ctx: Context, token: str) -> Subscription:
    """Raises ``Gone("link_expired")``, ``NotFound("link_invalid")``, ``NotFound("user_not_found")``."""
    user_id, kind = read_unsubscribe(ctx.settings, token, ctx.clock.now())
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await _subscription_in(conn, await people.user_in(conn, user_id), kind)


async def _subscription_in(conn: Conn, user: User, kind: Kind) -> Subscription:
    choices = (await reach_in(conn, user)).choices or {}
    on = wanted(kind, EMAIL, REGISTRY[EMAIL].TRAITS, choices)
    return Subscription(user, kind, KINDS[kind].title, on, fixed(kind, EMAIL))


async def subscribe(ctx: Context, token: str, on: bool) -> Subscription:
    """End mails of the link's kind, or (``on``) let them come again; twice is fine. The link is the permission.

    Raises as `open_unsubscribe`, and ``Conflict("kind_fixed")`` for what everybody gets.
    """
    user_id, kind = read_unsubscribe(ctx.settings, token, ctx.clock.now())
    if fixed(kind, EMAIL):
        raise Conflict(
            "kind_fixed",
            "These mails are about money, access or an agreed time. They cannot be switched off.",
        )

    async def work(conn: Conn) -> Subscription:
        user = await people.user_in(conn, user_id)
        choice = None if on is wanted(kind, EMAIL, REGISTRY[EMAIL].TRAITS, {}) else on
        await store.set_choices(conn, user_id, [(kind, EMAIL, choice)], ctx.clock.now())
        return await _subscription_in(conn, user, kind)

    return await in_transaction(ctx.pool, work)
