"""Tokens for people: the wallet with its transfers, and a mentor's payslips."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import urlencode
from uuid import UUID

from aiohttp import web as http

from server.ledger import actions as ledger
from server.ledger.model import Entry, TransferKind
from server.payroll import actions as payroll
from server.payroll.model import Payslip
from server.people.model import Role, User
from server.sessions import actions as sessions
from web.access import RoleIs, SignedIn
from web.context import context
from web.pages.directory import text_cursor
from web.pages.render import render, signed_in
from web.pages.views import principal_of
from web.rendering import Reader, day_name, wall_clock
from web.routing import page

_WORDS = {
    TransferKind.GRANT: "Demo tokens",
    TransferKind.HOLD: "Set aside for a session",
    TransferKind.RELEASE: "Given back",
    TransferKind.FEE: "Platform fee",
    TransferKind.PAYOUT: "Paid out",
    TransferKind.REVERSAL: "Taken back: the verdict was changed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A transfer in words; ``sign`` tells whether the reader has more afterwards (+1), less (-1) or the same."""

    words: str
    amount: int
    sign: int
    at: datetime
    session_id: UUID | None
    href: str


def line(entry: Entry) -> Line:
    """``href`` leads to the session; the page of a booking that never became one says so itself."""
    if entry.kind is TransferKind.EARNING:
        words = "Earned with a session" if entry.earnings_change > 0 else "Paid for a session"
    elif entry.kind is TransferKind.REVERSAL and entry.wallet_change > 0:
        words = "Given back: the verdict was changed"
    else:
        words = entry.memo if entry.kind is TransferKind.GRANT and entry.memo else _WORDS[entry.kind]
    # What was set aside has left the balance before: paying with it is shown without a sign, so that lines add up.
    change = entry.wallet_change or entry.earnings_change
    amount = abs(change) or entry.amount_tokens
    sign = (change > 0) - (change < 0)
    return Line(words, amount, sign, entry.created_at, entry.session_id, f"/sessions/{entry.session_id}")


async def wallet(request: http.Request) -> http.StreamResponse:
    _, user = await signed_in(request)
    ctx = context(request)
    found = await ledger.wallet(ctx, user.id)
    transfers = await ledger.transfers_of(ctx, user.id, text_cursor(request), 30)
    return await render(
        request,
        "wallet.html",
        wallet=found,
        lines=[line(entry) for entry in transfers.items],
        next_href="/wallet?" + urlencode({"cursor": transfers.next_cursor})
        if transfers.next_cursor
        else None,
    )


@dataclass(frozen=True, slots=True)
class SlipLine:
    session_id: UUID
    words: str
    amount: int


@dataclass(frozen=True, slots=True)
class SlipView:
    id: UUID
    title: str
    starts_at: datetime
    ends_at: datetime
    total_tokens: int
    lines: tuple[SlipLine, ...]


async def payslips(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx = context(request)
    return await render(
        request,
        "payslips.html",
        wallet=await ledger.wallet(ctx, user.id),
        slips=[await _slip(request, it, reader, user) for it in await payroll.payslips(ctx, user.id)],
        business_zone=ctx.settings.timezone,
    )


async def _slip(request: http.Request, slip: Payslip, reader: Reader, user: User) -> SlipView:
    lines = []
    for it in slip.lines:
        session = await sessions.get(context(request), principal_of(user), it.session_id)
        day = day_name(session.start.astimezone(reader.zone).date(), reader.now, reader.zone)
        words = f"{day}, {wall_clock(session.start, reader.zone)}, {session.mentee_name}"
        lines.append(SlipLine(it.session_id, words, it.amount))
    closing = date.fromisoformat(f"{slip.period.label}-01")
    return SlipView(
        slip.id,
        f"{closing:%B %Y}",
        slip.period.starts_at,
        slip.period.ends_at,
        slip.total_tokens,
        tuple(lines),
    )


ROUTES = (
    page("GET", "/wallet", wallet, access=SignedIn()),
    page("GET", "/payslips", payslips, access=RoleIs.of(Role.MENTOR)),
)
