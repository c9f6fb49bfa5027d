"""Numbers, codes and choices, decided without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.base.errors import Conflict, TooMany
from server.base.ids import new_id
from server.contact import model
from server.contact.model import Change, Choice, Number, SentCode
from server.integrations.channels import REGISTRY
from server.notifications.kinds import KINDS
from server.notifications.model import Kind
from server.people.model import Role

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
ME, OTHER = UUID(int=1), UUID(int=2)
CHANNELS = [(name, module.TRAITS) for name, module in REGISTRY.items() if name != "slack"]
SECRET = "secret"


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+49 170 123-4567", "+491701234567"),
        ("0049 (170) 123.4567", "+491701234567"),
        ("+1/202/555\u20110100", "+12025550100"),
        ("0170 1234567", None),  # of which country?
        ("+0170123456", None),
        ("+49", None),
        ("+1234567890123456", None),
        ("+49 170 CALLME", None),
        ("\uff0b491701234567", None),
        ("+\u0664\u0669170123456", None),
    ],
)
def test_a_number_in_its_one_form(typed: str, number: str | None) -> None:
    assert model.normal_number(typed) == number
    if number is not None:
        assert model.normal_number(number) == number


def test_every_fault_of_a_number_at_once() -> None:
    faults = model.number_faults("pigeon", "12", ["sms"])
    assert [(it.field, it.code) for it in faults] == [
        ("channel", "unknown_channel"),
        ("address", "bad_number"),
    ]


seconds = st.lists(st.integers(0, 3 * 86_400), min_size=1, max_size=60)


@settings(max_examples=60)
@given(
    seconds, st.lists(st.tuples(st.sampled_from([ME, OTHER]), st.integers(1, 8)), min_size=60, max_size=60)
)
def test_however_often_somebody_asks_no_day_sees_too_many(
    times: list[int], asks: list[tuple[UUID, int]]
) -> None:
    """Played in order; whatever was let through is counted by hand, over every 24 hours that end with a code."""
    sent: list[SentCode] = []
    for at, (who, number) in zip(sorted(times), asks, strict=False):
        now, address = NOW + timedelta(seconds=at), f"+49170000000{number}"
        recent = [
            it for it in sent if it.sent_at > now - model.DAY and (it.user_id == who or it.address == address)
        ]
        try:
            model.check_sending(now, who, "sms", address, recent)
        except TooMany as refusal:
            assert refusal.retry_after >= 1
            continue
        sent.append(SentCode(who, "sms", address, now))
    for last in sent:
        day = [it for it in sent if last.sent_at - model.DAY < it.sent_at <= last.sent_at]
        mine = [it for it in day if it.user_id == last.user_id]
        there = [it for it in day if it.address == last.address]
        assert len(mine) <= model.CODES_PER_DAY and len({it.address for it in mine}) <= model.NUMBERS_PER_DAY
        assert len(there) <= model.CODES_TO_NUMBER
        gaps = [last.sent_at - it.sent_at for it in mine if it.address == last.address and it is not last]
        assert all(gap >= model.RESEND_AFTER for gap in gaps)


def test_the_refusals_say_when() -> None:
    first = SentCode(ME, "sms", "+491", NOW)
    with pytest.raises(TooMany, match="code_too_soon") as soon:
        model.check_sending(NOW + timedelta(seconds=20), ME, "sms", "+491", [first])
    assert soon.value.retry_after == 40
    model.check_sending(NOW + timedelta(seconds=20), OTHER, "sms", "+491", [first])  # somebody else's haste
    model.check_sending(NOW + timedelta(seconds=60), ME, "sms", "+491", [first])
    rung = [SentCode(OTHER, "sms", "+491", NOW + timedelta(hours=n)) for n in range(model.CODES_TO_NUMBER)]
    with pytest.raises(TooMany, match="too_many_codes") as full:
        model.check_sending(NOW + timedelta(hours=5), ME, "sms", "+491", rung)
    assert full.value.retry_after == 19 * 3600
    many = [SentCode(ME, "sms", f"+49{n}", NOW) for n in range(model.NUMBERS_PER_DAY)]
    with pytest.raises(TooMany, match="too_many_numbers"):
        model.check_sending(NOW, ME, "sms", "+4999", many)
    model.check_sending(NOW + timedelta(minutes=2), ME, "sms", "+490", many)


def waiting(tries: int = 0) -> Number:
    id_ = new_id()
    return Number(id_, ME, "sms", "+491", "", NOW, None, model.code_hash(SECRET, id_, "042195"), NOW, tries)


def test_a_code_is_good_for_ten_minutes_and_five_tries() -> None:
    assert model.check_code(SECRET, waiting(), " 042 195 ", NOW)
    assert not model.check_code(SECRET, waiting(), "042196", NOW)
    assert not model.check_code(SECRET, waiting(), "", NOW)
    assert not model.check_code("another", waiting(), "042195", NOW)
    assert model.check_code(SECRET, waiting(4), "042195", NOW + timedelta(minutes=9, seconds=59))
    with pytest.raises(Conflict, match="code_expired"):
        model.check_code(SECRET, waiting(), "042195", NOW + timedelta(minutes=10))
    with pytest.raises(Conflict, match="code_used_up"):
        model.check_code(SECRET, waiting(5), "042195", NOW)
    with pytest.raises(Conflict, match="code_missing"):
        model.check_code(SECRET, Number(new_id(), ME, "sms", "+491", "", NOW, None), "042195", NOW)


def test_the_matrix_shows_ones_role_and_what_is_fixed() -> None:
    lines = model.matrix(Role.MENTOR, CHANNELS, {("reminder", "email"): False, ("follow_up", "sms"): True})
    kinds = {line.kind for line in lines}
    assert Kind.PAYSLIP in kinds and Kind.BOOKING_REJECTED not in kinds and Kind.VERIFY_NUMBER not in kinds
    cells = {(line.kind, cell.channel): cell for line in lines for cell in line.cells}
    assert (cells[Kind.REMINDER, "email"].on, cells[Kind.REMINDER, "email"].default) == (False, True)
    assert (cells[Kind.FOLLOW_UP, "sms"].on, cells[Kind.FOLLOW_UP, "sms"].default) == (True, False)
    assert {kind for (kind, channel), cell in cells.items() if cell.fixed} == {
        kind for kind, about in KINDS.items() if about.essential and "mentor" in about.roles
    }
    assert {line.kind for line in model.matrix(Role.ADMIN, CHANNELS, {})}.isdisjoint(kinds)


def test_every_fault_of_a_change_at_once() -> None:
    lines = model.matrix(Role.MENTEE, CHANNELS, {})
    wish = Change(
        language="tlh",
        sets_quiet=True,
        quiet=("25:00", "7 o'clock"),
        choices=(
            Choice("payslip", "email", False),
            Choice("reminder", "slack", True),
            Choice("booking_cancelled", "email", False),
            Choice("reminder", "sms", False),
            Choice("reminder", "sms", True),
        ),
    )
    assert [(it.field, it.code) for it in model.change_faults(wish, lines, ["en", "de"])] == [
        ("language", "unknown_language"),
        ("quiet_hours.start", "bad_time"),
        ("quiet_hours.end", "bad_time"),
        ("choices.0.kind", "unknown_kind"),
        ("choices.1.channel", "unknown_channel"),
        ("choices.2.wanted", "kind_fixed"),
        ("choices.4", "twice"),
    ]
    same = Change(sets_quiet=True, quiet=("07:00", "07:00"))
    assert [it.code for it in model.change_faults(same, lines, ["en"])] == ["empty_span"]
    assert model.change_faults(Change(sets_quiet=True), lines, ["en"]) == []
