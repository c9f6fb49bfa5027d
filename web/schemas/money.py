"""What the API writes about tokens, and what left as a message in demo mode."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import Instant, Out


class WalletOut(Out):
    balance_tokens: int
    held_tokens: int
    earnings_tokens: int


class TransferOut(Out):
    """A transfer as its owner may see it: by how much each of the owner's accounts changed."""

    id: UUID
    kind: Literal["grant", "hold", "release", "earning", "fee", "payout", "reversal"]
    amount_tokens: int
    wallet_change: int
    held_change: int
    earnings_change: int
    session_id: UUID | None
    memo: str
    created_at: Instant


class InboxItemOut(Out):
    id: UUID
    session_id: UUID | None
    kind: str
    channel: str
    recipient: str
    role: str
    subject: str
    text: str
    calendar: str | None
    created_at: Instant


class InboxOut(Out):
    items: list[InboxItemOut]


class PayslipLineOut(Out):
    transfer_id: UUID
    session_id: UUID
    amount_tokens: int


class PayslipOut(Out):
    id: UUID
    label: str = Field(description="The month in which the period closed, e.g. 2026-11.")
    period_start: Instant
    period_end: Instant
    total_tokens: int
    created_at: Instant
    lines: list[PayslipLineOut]
