"""Money in whole tokens: the chart of accounts, a transfer, and how a price is split; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

DEMO_GRANT: Final = 100  # tokens a mentee starts with in demo mode


class AccountKind(StrEnum):
    """The first three belong to a person, the others (owner None) to the platform."""

    WALLET = "wallet"
    HELD = "held"
    EARNINGS = "earnings"
    FEES = "fees"
    PAYOUTS = "payouts"
    ISSUANCE = "issuance"  # where tokens come from: the only account below zero


class TransferKind(StrEnum):
    """From -> to, that is debit -> credit; a balance is credits minus debits."""

    GRANT = "grant"  # issuance -> wallet
    HOLD = "hold"  # wallet -> held
    RELEASE = "release"  # held -> wallet
    EARNING = "earning"  # held(mentee) -> earnings(mentor)
    FEE = "fee"  # held(mentee) -> fees
    PAYOUT = "payout"  # earnings(mentor) -> payouts
    REVERSAL = "reversal"  # earnings(mentor) or fees -> wallet(mentee): a verdict was amended


@dataclass(frozen=True, slots=True)
class Transfer:
    """``amount`` tokens from account ``debit`` to account ``credit``; ``key`` says what for, once."""

    id: UUID
    key: str
    kind: TransferKind
    debit: UUID
    credit: UUID
    amount: int
    session_id: UUID | None
    memo: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Wallet:
    """What a person has: free, held for booked sessions, and earned but not yet paid out."""

    balance_tokens: int
    held_tokens: int
    earnings_tokens: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A transfer as one person may see it: by how much each of his or her accounts changed."""

    id: UUID
    kind: TransferKind
    amount_tokens: int
    wallet_change: int
    held_change: int
    earnings_change: int
    session_id: UUID | None
    memo: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Split:
    """Of a price: what the mentor earns and what the platform keeps."""

    earning: int
    fee: int


def split(price: int, fee_percent: int) -> Split:
    """The fee is rounded down: the odd token is the mentor's."""
    fee = price * fee_percent // 100
    return Split(price - fee, fee)
