"""What the session's page says about the price is what stands in the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from server.ledger.model import Split
from web.pages.sessions import settlement
from web.pages.views import BookingView, Person

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MENTOR = Person(UUID(int=1), "Asha Rao")
MENTEE = Person(UUID(int=2), "Jonas Weber")


def view(reader: Person, outcome: str) -> BookingView:
    return BookingView(
        id=UUID(int=3), session_id=UUID(int=4), mentor=MENTOR, mentee=MENTEE, start=NOW - timedelta(hours=2),
        end=NOW - timedelta(hours=1), status="held", outcome=outcome, price_tokens=30, topic="", note="",
        is_reschedule=False, reschedule_reason=None, cancelation_reason=None, created_at=NOW, updated_at=NOW,
        proposal=None, expires_at=None, cancellation_fee=0, series_id=None, reader_id=reader.id, now=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reader", "outcome", "paid", "told"),
    [
        (MENTEE, "completed", Split(24, 6), [("Paid for the session", 30)]),
        (MENTOR, "completed", Split(24, 6), [("Your earning", 24), ("Platform fee", 6)]),
        (
            MENTEE,
            "mentee_no_show",
            Split(12, 3),
            [("Paid for the time that was kept", 15), ("Returned to your wallet", 15)],
        ),
        (MENTEE, "mentor_no_show", Split(0, 0), [("Returned to your wallet", 30)]),
        (
            MENTOR,
            "cancelled",
            Split(8, 2),
            [("Your earning", 8), ("Platform fee", 2), ("Returned to Jonas Weber", 20)],
        ),
    ],
)
def test_the_price_is_accounted_for(
    reader: Person, outcome: str, paid: Split, told: list[tuple[str, int]]
) -> None:
    assert [(line.words, line.amount) for line in settlement(view(reader, outcome), paid)] == told
