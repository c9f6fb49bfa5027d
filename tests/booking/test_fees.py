"""What staying away costs: the part that was agreed, split like a price, and the rest goes back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from server.attendance import actions as attendance
from server.base.clock import SteppedClock
from server.base.context import Context
from server.booking import actions as booking
from server.booking.model import Terms
from server.ledger import actions as ledger
from server.ledger.model import Wallet
from server.sessions import actions as sessions
from server.sessions.model import Outcome
from tests.booking.world import booked, books_balance, hour, mentor, person


@pytest.mark.parametrize(("percent", "earned", "back"), [(50, 8, 10), (100, 16, 0), (0, 0, 20)])
async def test_a_mentee_who_stays_away_pays_the_fee_he_agreed_to(
    ctx: Context, clock: SteppedClock, percent: int, earned: int, back: int
) -> None:
    """Of 20 tokens; a fifth of what is paid is the platform's. Terms of later bookings change nothing."""
    ada, bo = await mentor(ctx, price=20), await person(ctx, "Bo")
    await booking.put_terms(ctx, ada.id, Terms(no_show_fee_percent=percent))
    made = await booked(ctx, ada.id, bo.id, hour(10))
    await sessions.approve(ctx, ada.id, made.id)
    await booking.put_terms(ctx, ada.id, Terms(no_show_fee_percent=77))
    clock.set(hour(10))
    await attendance.joined(ctx, made.session_id, ada.id, "peer", hour(10))
    await attendance.left(ctx, made.session_id, ada.id, "peer", hour(11), "left")
    clock.set(hour(11) + timedelta(minutes=20))
    assert await attendance.settle(ctx, made.session_id) is Outcome.MENTEE_NO_SHOW
    assert await ledger.wallet(ctx, bo.id) == Wallet(80 + back, 0, 0)
    assert (await ledger.wallet(ctx, ada.id)).earnings_tokens == earned
    await books_balance(ctx)
