"""The transition table, walked at random, and who may take which step when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.base.errors import Conflict, Forbidden
from server.base.ids import new_id
from server.booking.model import LIVE, TRANSITIONS, Booking, Party, Proposal, Status, Step, next_status

START = datetime(2026, 3, 3, 12, tzinfo=UTC)
BOOKING = Booking(
    id=new_id(),
    session_id=new_id(),
    mentor_id=new_id(),
    mentee_id=new_id(),
    start=START,
    end=START + timedelta(hours=1),
    status=Status.REQUESTED,
    price_tokens=10,
    topic="",
    note="",
    is_reschedule=False,
    reschedule_reason=None,
    cancelation_reason=None,
    cancelled_by=None,
    revision=0,
    created_at=START,
    updated_at=START,
    mentor_name="Ada",
    mentee_name="Bo",
)
BEFORE = START - timedelta(days=1)


def attempt(status: Status, step: Step, party: Party, now: datetime = BEFORE) -> Status | str:
    """With a proposal of the other side, where there can be one."""
    other = BOOKING.mentee_id if party is Party.MENTOR else BOOKING.mentor_id
    proposal = Proposal(START + timedelta(days=1), START + timedelta(days=1, hours=1), other, "", START)
    try:
        return next_status(replace(BOOKING, status=status, proposal=proposal), step, party, now)
    except (Conflict, Forbidden) as refusal:
        return refusal.code


# What the product promises, said independently of the table: (who, step) -> {from: to}.
PROMISED = {
    (Party.MENTEE, Step.CONFIRM): {"hold": "requested"},
    (Party.MENTOR, Step.APPROVE): {"requested": "approved"},
    (Party.SYSTEM, Step.APPROVE): {"requested": "approved"},
    (Party.MENTOR, Step.REJECT): {"requested": "rejected"},
    (Party.MENTOR, Step.CANCEL): {"requested": "cancelled", "approved": "cancelled"},
    (Party.MENTEE, Step.CANCEL): {"hold": "cancelled", "requested": "cancelled", "approved": "cancelled"},
    (Party.MENTEE, Step.MOVE): {"requested": "requested"},
    (Party.MENTOR, Step.PROPOSE): {"requested": "requested", "approved": "approved"},
    (Party.MENTEE, Step.PROPOSE): {"approved": "approved"},
    (Party.MENTOR, Step.ACCEPT): {"approved": "approved"},
    (Party.MENTEE, Step.ACCEPT): {"requested": "approved", "approved": "approved"},
    (Party.MENTOR, Step.DECLINE): {"requested": "requested", "approved": "approved"},
    (Party.MENTEE, Step.DECLINE): {"requested": "requested", "approved": "approved"},
    (Party.SYSTEM, Step.EXPIRE): {"hold": "expired", "requested": "expired"},
    (Party.SYSTEM, Step.SETTLE): {"approved": "held"},
    (Party.ADMIN, Step.CANCEL): {"requested": "cancelled", "approved": "cancelled"},
    (Party.ADMIN, Step.MOVE): {"approved": "approved"},
    (Party.ADMIN, Step.ASK): {"requested": "requested", "approved": "approved"},
}


@pytest.mark.parametrize("party", Party)
@pytest.mark.parametrize("step", Step)
def test_every_step_of_everybody_from_every_status(step: Step, party: Party) -> None:
    promised = PROMISED.get((party, step))
    expected = {
        status.value: "not_your_step"
        if promised is None
        else promised.get(status.value, "illegal_transition")
        for status in Status
    }
    assert {status.value: attempt(status, step, party) for status in Status} == expected


@given(st.lists(st.tuples(st.sampled_from(Step), st.sampled_from(Party)), max_size=30))
def test_no_walk_leaves_the_table_or_comes_back_from_an_end(walk: list[tuple[Step, Party]]) -> None:
    status = Status.REQUESTED
    for step, party in walk:
        reached = attempt(status, step, party)
        if isinstance(reached, Status):
            assert status in LIVE | {Status.HOLD}, "a step out of an end"
            status = reached
        else:
            assert (status, step, party) not in TRANSITIONS


@pytest.mark.parametrize(
    ("status", "step", "party", "code"),
    [
        (Status.APPROVED, Step.CANCEL, Party.MENTEE, "session_begun"),
        (Status.APPROVED, Step.CANCEL, Party.MENTOR, "session_begun"),
        (Status.APPROVED, Step.PROPOSE, Party.MENTEE, "session_begun"),
        (Status.APPROVED, Step.PROPOSE, Party.MENTOR, "session_begun"),
        (Status.REQUESTED, Step.ACCEPT, Party.MENTEE, "proposal_expired"),
        (Status.REQUESTED, Step.APPROVE, Party.MENTOR, "time_has_passed"),
    ],
)
def test_the_start_is_a_border(status: Status, step: Step, party: Party, code: str) -> None:
    assert attempt(status, step, party, START) == code
    assert isinstance(attempt(status, step, party, START - timedelta(microseconds=1)), Status)


def test_a_request_nobody_answered_can_still_be_put_away() -> None:
    late = START + timedelta(days=3)
    assert attempt(Status.REQUESTED, Step.CANCEL, Party.MENTEE, late) is Status.CANCELLED
    assert attempt(Status.REQUESTED, Step.REJECT, Party.MENTOR, late) is Status.REJECTED


def test_strangers_are_no_party() -> None:
    with pytest.raises(Forbidden) as refused:
        BOOKING.party(new_id())
    assert refused.value.code == "not_a_participant"
