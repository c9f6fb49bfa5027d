"""Tokens: the wallet and the ledger as its owner may see it, and payslips."""

from __future__ import annotations

from server.ledger import actions as ledger
from server.payroll import actions as payroll
from server.people.model import Role
from web.access import RoleIs, SignedIn
from web.api.endpoint import Call, endpoint
from web.schemas.base import NoQuery, Nothing, Page, PageQuery
from web.schemas.money import PayslipLineOut, PayslipOut, TransferOut, WalletOut

TAG = "Tokens"


async def wallet(call: Call[Nothing, NoQuery]) -> WalletOut:
    """What the caller can spend, what is held for booked sessions, and what was earned but not yet paid out."""
    found = await ledger.wallet(call.ctx, call.caller.user_id)
    return WalletOut(
        balance_tokens=found.balance_tokens,
        held_tokens=found.held_tokens,
        earnings_tokens=found.earnings_tokens,
    )


async def transfers(call: Call[Nothing, PageQuery]) -> Page[TransferOut]:
    """The caller's transfers, newest first."""
    page = await ledger.transfers_of(call.ctx, call.caller.user_id, call.query.cursor, call.query.limit)
    items = [
        TransferOut(
            id=entry.id,
            kind=entry.kind.value,
            amount_tokens=entry.amount_tokens,
            wallet_change=entry.wallet_change,
            held_change=entry.held_change,
            earnings_change=entry.earnings_change,
            session_id=entry.session_id,
            memo=entry.memo,
            created_at=entry.created_at,
        )
        for entry in page.items
    ]
    return Page(items=items, next_cursor=page.next_cursor)


async def payslips(call: Call[Nothing, NoQuery]) -> Page[PayslipOut]:
    """What was paid out to the caller, newest period first; one line per session."""
    found = await payroll.payslips(call.ctx, call.caller.user_id)
    items = [
        PayslipOut(
            id=slip.id,
            label=slip.period.label,
            period_start=slip.period.starts_at,
            period_end=slip.period.ends_at,
            total_tokens=slip.total_tokens,
            created_at=slip.created_at,
            lines=[
                PayslipLineOut(
                    transfer_id=line.transfer_id, session_id=line.session_id, amount_tokens=line.amount
                )
                for line in slip.lines
            ],
        )
        for slip in found
    ]
    return Page(items=items, next_cursor=None)


ROUTES = (
    endpoint("GET", "/wallet", wallet, access=SignedIn(), summary="One's tokens", tag=TAG, reply=WalletOut),
    endpoint(
        "GET", "/wallet/transfers", transfers, access=SignedIn(), summary="One's transfers", tag=TAG,
        query=PageQuery, reply=Page[TransferOut],
    ),
    endpoint(
        "GET", "/payslips", payslips, access=RoleIs.of(Role.MENTOR), summary="One's payslips", tag=TAG,
        reply=Page[PayslipOut],
    ),
)  # fmt: skip
