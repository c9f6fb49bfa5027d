"""Write messages: to a person by every channel that fits, to one address, to the people who run the place."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from email.utils import parseaddr
from typing import Any, NotRequired, TypedDict, Unpack
from uuid import UUID
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn
from server.base.errors import FieldError, Invalid
from server.integrations.channel import Button, Dials
from server.integrations.channels import REGISTRY, Registry, in_use, team_channels
from server.notifications import preferences, store
from server.notifications.calendar import Method, invitation
from server.notifications.model import EMAIL, Attendee, Draft, InboxItem, Kind, Occasion
from server.notifications.reach import LANGUAGE, Destination, Quiet, Reach, ways
from server.notifications.texts import Text, render
from server.people import store as people
from server.people.model import Role, User

INBOX_LIMIT = 500


async def enqueue_in(
    conn: Conn,
    *,
    dedup_key: str,
    session_id: UUID | None,
    kind: Kind,
    recipient: User,
    role: str,
    text: Text,
    calendar: str | None,
    ctx: Context,
    channel: str = EMAIL,
    address: str | None = None,
    expires_at: datetime | None = None,
) -> bool:
    """Write one message by one channel, whatever the person chose; False when it was written before. ``address`` is
    the account's mail address unless said otherwise."""
    draft = Draft(
        dedup_key=dedup_key,
        session_id=session_id,
        kind=kind,
        channel=channel,
        recipient_id=recipient.id,
        role=role,
        address=recipient.email if address is None else address,
        subject=text.subject,
        body=text.body,
        calendar=calendar,
        expires_at=expires_at,
    )
    return bool(await post_in(conn, ctx, [draft]))


async def reaches_in(conn: Conn, people: Collection[User]) -> dict[UUID, Reach]:
    """How each of them is reached, by id."""
    rows = await store.reaches(conn, [person.id for person in people])
    found = {}
    for person in people:
        row = rows[person.id]
        found[person.id] = Reach(
            email=person.email,
            zone=ZoneInfo(person.timezone),
            language=row["language"] or LANGUAGE,
            quiet=Quiet(row["quiet_start"], row["quiet_end"]) if row["quiet_start"] is not None else None,
            choices={(kind, channel): on for kind, channel, on in row["choices"] or ()},
            destinations=tuple(
                Destination(UUID(id_), channel, address)
                for id_, channel, address in row["destinations"] or ()
            ),
            verified=row["verified"],
        )
    return found


async def reach_in(conn: Conn, person: User) -> Reach:
    """How the person is reached."""
    return (await reaches_in(conn, [person]))[person.id]


def drafts(
    ctx: Context,
    reach: Reach,
    *,
    kind: Kind,
    recipient: User,
    role: str,
    dedup_key: str,
    values: Mapping[str, Any],
    link: str,
    template: str | None = None,
    session_id: UUID | None = None,
    calendar: str | None = None,
    buttons: Sequence[Button] = (),
    expires_at: datetime | None = None,
    zone: ZoneInfo | None = None,
    registry: Registry = REGISTRY,
) -> list[Draft]:
    """What `post_in` tells one person, for every channel that fits the person's choices.

    ``template`` is the kind's own unless said otherwise, ``link`` where a click leads, ``zone`` the reader's unless
    the times are somebody else's. From ``expires_at`` on it is of no use and does not leave any more. A text that
    cannot be filled raises, so that nobody is told by halves.
    """
    now = ctx.clock.now()
    open_to_us = in_use(ctx.settings, registry)
    channels = [(name, module.TRAITS) for name, module in registry.items() if name in open_to_us]
    written = []
    for way in ways(kind, reach, channels, now, expires_at):
        text = render(
            template or kind, role, zone or reach.zone, values,
            channel=way.channel, form=way.form, language=reach.language, link=link,
        )  # fmt: skip
        mail = way.channel == EMAIL
        written.append(
            Draft(
                dedup_key=dedup_key,
                session_id=session_id,
                kind=kind,
                channel=way.channel,
                recipient_id=recipient.id,
                role=role,
                address=way.address,
                subject=text.subject,
                body=preferences.signed_off(ctx.settings, text.body, reach.language) if mail else text.body,
                calendar=calendar if mail else None,
                buttons=tuple(buttons),
                unsubscribe_url=preferences.unsubscribe_url(ctx.settings, recipient.id, kind, now)
                if mail
                else None,
                not_before=way.not_before,
                destination_id=way.destination_id,
                url=link,
                expires_at=expires_at,
                there=registry[way.channel].TRAITS.dials is Dials.PERSON,
            )
        )
    return written


async def post_in(conn: Conn, ctx: Context, written: Sequence[Draft]) -> int:
    """Write them, each once per key, kind, person and channel; returns how many (key, person) were not told before."""
    return len(await store.insert(conn, written, ctx.clock.now())) if written else 0


class News(TypedDict):
    """What there is to tell one person; see `drafts`."""

    kind: Kind
    recipient: User
    role: str
    dedup_key: str
    values: Mapping[str, Any]
    link: str
    template: NotRequired[str | None]
    session_id: NotRequired[UUID | None]
    calendar: NotRequired[str | None]
    buttons: NotRequired[Sequence[Button]]
    expires_at: NotRequired[datetime | None]
    zone: NotRequired[ZoneInfo | None]
    registry: NotRequired[Registry]


async def notify_in(conn: Conn, ctx: Context, **news: Unpack[News]) -> bool:
    """Tell a person, by every channel that fits the person's choices, once per ``dedup_key``; False when all of it
    was written before."""
    reach = await reach_in(conn, news["recipient"])
    return bool(await post_in(conn, ctx, drafts(ctx, reach, **news)))


async def tell_ops_in(
    conn: Conn,
    ctx: Context,
    *,
    kind: Kind,
    dedup_key: str,
    session_id: UUID | None,
    values: Mapping[str, Any],
    link: str,
    registry: Registry = REGISTRY,
) -> bool:
    """Tell the people who run the place: in their team's channel, times in the business zone, or, without one, each
    administrator as each chooses. False when they were told before, or there is nobody."""
    teams = {name: registry[name] for name in team_channels(ctx.settings, registry)}
    administrators = [] if teams else await people.administrators(conn)
    reaches = await reaches_in(conn, administrators)
    written = [
        draft
        for admin in administrators
        for draft in drafts(
            ctx, reaches[admin.id], kind=kind, recipient=admin, role=Role.ADMIN.value, dedup_key=dedup_key, link=link,
            values={**values, "name": admin.name}, session_id=session_id, registry=registry,
        )
    ]  # fmt: skip
    for name, module in teams.items():
        text = render(
            kind, "ops", ctx.settings.timezone, values, channel=name, form=module.TRAITS.form, link=link
        )
        written.append(
            Draft(
                dedup_key=dedup_key,
                session_id=session_id,
                kind=kind,
                channel=name,
                recipient_id=None,
                role="ops",
                address="ops",
                subject=text.subject,
                body=text.body,
                url=link,
            )
        )
    return bool(await post_in(conn, ctx, written))


async def withdraw_in(conn: Conn, session_id: UUID, kind: Kind, keep_prefix: str | None = None) -> int:
    """Let messages of a kind about a session lapse that have not left yet, but for keys that begin with
    ``keep_prefix``; returns how many."""
    return await store.withdraw(conn, session_id, kind, keep_prefix)


def session_drafts(
    ctx: Context,
    reach: Reach,
    *,
    kind: Kind,
    template: str | None = None,
    recipient: User,
    role: str,
    occasion: Occasion,
    dedup_key: str,
    method: Method | None = None,
    values: Mapping[str, Any] | None = None,
    buttons: Sequence[Button] = (),
    expires_at: datetime | None = None,
) -> list[Draft]:
    """What `post_in` tells one participant (``role``: mentor or mentee) about a session, with an invitation if a
    ``method`` is given.

    ``template`` is the kind's own unless said otherwise; ``values`` are for the text on top of the occasion's.
    """
    base = ctx.settings.public_url
    calendar = None
    if method is not None:
        name, address = parseaddr(ctx.settings.mail_from)
        calendar = invitation(occasion, method, Attendee(name or "Visavis", address), ctx.clock.now())
    return drafts(
        ctx,
        reach,
        kind=kind,
        template=template,
        recipient=recipient,
        role=role,
        dedup_key=dedup_key,
        session_id=occasion.session_id,
        calendar=calendar,
        link=occasion.url if occasion.confirmed else occasion.booking_url,
        buttons=buttons,
        expires_at=expires_at,
        values={
            "name": recipient.name,
            "mentor": occasion.mentor,
            "mentee": occasion.mentee,
            "start": occasion.start,
            "end": occasion.end,
            "topic": occasion.topic,
            "note": occasion.note,
            "price_tokens": occasion.price_tokens,
            "confirmed": occasion.confirmed,
            "reason": occasion.reason,
            "url": occasion.url,
            "booking_url": occasion.booking_url,
            "mentors_url": f"{base}/mentors",
            **(values or {}),
        },
    )


async def inbox(ctx: Context, limit: int = INBOX_LIMIT) -> list[InboxItem]:
    """The development inbox, newest first; who may look is the caller's check."""
    if not 1 <= limit <= INBOX_LIMIT:
        raise Invalid([FieldError("limit", "out_of_range", f"Between 1 and {INBOX_LIMIT}.")])
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        return await store.inbox(conn, limit)
