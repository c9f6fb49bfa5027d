"""Connect calendars by a server's address, a name and an app password (CalDAV), and choose which is written to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT, Conn, in_transaction
from server.base.errors import Conflict, FieldError, Invalid, NotFound
from server.base.sealing import SealBroken, seal, unseal
from server.calendars import store
from server.calendars.actions import CREDENTIALS, connect
from server.calendars.model import MOST, Connection, ConnectionStatus, Provider, read_back, written_down
from server.integrations.calendars.carrier import ServerForbidden
from server.integrations.calendars.connector import connector
from server.integrations.calendars.protocol import (
    CalendarAway,
    CalendarError,
    Choice,
    Credentials,
    GrantRevoked,
)

PATIENCE: Final = 25.0  # seconds for all of discovery, while a person waits


@dataclass(frozen=True, slots=True)
class Choices:
    """The calendars of an account, all of which are read, and the one that is written to."""

    all: tuple[Choice, ...]
    write_to: str


async def connect_account(ctx: Context, user_id: UUID, url: str, username: str, password: str) -> UUID:
    """Find the account's calendars and keep what opens them; the connection's id.

    Connecting an account again keeps its connection, and the calendar that was chosen if it is still there.
    Raises `Invalid` naming the field: ``bad_url``, ``address_refused``, ``unreachable`` and ``no_calendar`` of the
    url, ``bad_username``, ``wrong_password``; and ``Conflict("too_many_calendars")``.
    """
    url = url if "://" in url else f"https://{url}"
    if ":" in username:  # would end the name within the header (RFC 7617 section 2)
        raise Invalid([FieldError("username", "bad_username", "A name with a colon cannot be used here.")])
    account = f"{username} ({_host(url)})"[:320]
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        mine = await store.of_person(conn, user_id)
    known = next((it for it in mine if (it.provider, it.account) == (Provider.CALDAV, account)), None)
    if known is None and len(mine) >= MOST:
        raise Conflict("too_many_calendars", f"One can connect {MOST} calendars.")
    before = _opened(ctx, known) if known is not None else None
    try:
        async with asyncio.timeout(PATIENCE), connector(ctx.settings, ctx.clock) as services:
            found = await services.discover(url, username, password, before.write_to if before else "")
    except (CalendarError, TimeoutError) as fault:
        raise _why(fault) from fault
    return await connect(ctx, user_id, Provider.CALDAV, account, found)


def choices_of(ctx: Context, connection: Connection) -> Choices | None:
    """Of a CalDAV account; None for what has one calendar only, or cannot be opened any more."""
    if connection.provider is not Provider.CALDAV or (known := _opened(ctx, connection)) is None:
        return None
    return Choices(known.choices, known.write_to)


async def choose(ctx: Context, user_id: UUID, connection_id: UUID, url: str) -> None:
    """Write sessions to this calendar of the account; those ahead move there.

    Raises ``NotFound("calendar_not_found")``, and `Invalid` for a calendar that the account does not have or that
    cannot be written to.
    """

    async def work(conn: Conn) -> None:
        found = await store.locked(conn, connection_id)
        if found is None or found.user_id != user_id or found.status is ConnectionStatus.LEAVING:
            raise NotFound("calendar_not_found", "There is no such calendar.")
        known = _opened(ctx, found) if found.provider is Provider.CALDAV else None
        if known is None or not any(it.url == url and it.writable for it in known.choices):
            raise Invalid(
                [FieldError("write_to", "no_calendar", "Choose one of the calendars that can be written to.")]
            )
        if known.write_to == url:
            return
        now = ctx.clock.now()
        sealed = seal(
            ctx.settings.secret_key, CREDENTIALS, found.id.bytes, written_down(replace(known, write_to=url))
        )
        await store.rewire(conn, found.id, sealed, now)
        await store.want_all(conn, found.id, user_id, now)

    await in_transaction(ctx.pool, work)
    ctx.wake()


def _opened(ctx: Context, connection: Connection) -> Credentials | None:
    try:
        return read_back(unseal(ctx.settings.secret_key, CREDENTIALS, connection.id.bytes, connection.sealed))
    except SealBroken:
        return None


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _why(fault: CalendarError | TimeoutError) -> Invalid:
    """What a person can do about it, at the field where they can."""
    match fault:
        case GrantRevoked():
            return _at(
                "password", "wrong_password",
                "The server does not take this name and password. Many want an app password made for us.",
            )  # fmt: skip
        case ServerForbidden() if str(fault) == "bad_url":
            return _at("url", "bad_url", "Give an encrypted address, such as https://cloud.example.org.")
        case ServerForbidden():
            return _at("url", "address_refused", "This address is not called from here.")
        case CalendarAway() | TimeoutError():
            return _at("url", "unreachable", "No calendar server answers there. Check the address.")
        case _:
            return _at("url", "no_calendar", "The server answers, but has no calendar to write to there.")


def _at(field: str, code: str, message: str) -> Invalid:
    return Invalid([FieldError(field, code, message)])
