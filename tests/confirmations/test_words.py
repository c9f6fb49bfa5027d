"""What people mean by their words, what a ticket is good for, and which answer counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from server.confirmations.model import (
    MISSED_AT,
    TIME_TO_ANSWER,
    Answer,
    Step,
    confirmation_of,
    missed_at,
    newest,
)
from server.confirmations.tickets import Purpose, Ticket, Verb, read, write
from server.confirmations.words import LONGEST, in_the_face_of, understand
from server.settings import Settings

WHO, SESSION = UUID(int=1), UUID(int=2)
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "verb"),
    [
        ("Yes", Verb.YES), (" yes!! ", Verb.YES), ("OK", Verb.YES), ("Ja, danke", Verb.YES), ("I'm coming 👍🏽", None),
        ("👍🏽", Verb.YES), ("I’ll be there.", Verb.YES), ("passt", Verb.YES), ("si", Verb.YES),
        ("Sí, gracias", Verb.YES),
        ("No", Verb.NO), ("nein", Verb.NO), ("Sorry, I can't make it", Verb.NO), ("leider nicht", Verb.NO),
        ("cancel", Verb.CANCEL), ("Bitte absagen", Verb.CANCEL), ("verschieben", Verb.MOVE),
        ("Reschedule please", Verb.MOVE),
        ("no problem, I am coming", None), ("yes but later", None), ("not sure", None), ("", None), ("?", None),
        ("thanks", None), ("yes " * 30, None), ("y" * LONGEST, None), ("\0", None),
    ],
)  # fmt: skip
def test_a_few_words_are_understood_and_nothing_is_guessed(said: str, verb: Verb | None) -> None:
    assert understand(said) is verb


@hypothesis(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_is_something_or_nothing(said: str) -> None:
    assert understand(said) in (None, Verb.YES, Verb.NO, Verb.MOVE, Verb.CANCEL)
    assert understand(f"{said} unless it rains") is None


def test_a_yes_to_really_cancel_cancels() -> None:
    asked = frozenset({Verb.CANCEL_NOW, Verb.KEEP})
    assert in_the_face_of(Verb.YES, asked) is Verb.CANCEL_NOW
    assert in_the_face_of(Verb.NO, asked) is Verb.KEEP
    assert in_the_face_of(None, asked) is None
    assert in_the_face_of(Verb.YES, frozenset({Verb.YES, Verb.NO})) is Verb.YES


@hypothesis(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(Verb), st.integers(0, 70), st.sampled_from("Az0-_="))
def test_a_ticket_is_ours_or_nothing(
    settings_: Settings, revision: int, verb: Verb, at: int, letter: str
) -> None:
    ticket = Ticket(SESSION, WHO, revision, verb)
    text = write(settings_, Purpose.BUTTON, ticket)
    assert len(text) <= 128 and read(settings_, Purpose.BUTTON, text) == ticket
    assert read(settings_, Purpose.LINK, text) is None
    assert (
        read(replace(settings_, secret_key="another-secret-another-secret-another"), Purpose.BUTTON, text)
        is None
    )
    forged = text[:at] + letter + text[at + 1 :]
    assert forged == text or read(settings_, Purpose.BUTTON, forged) in (None, ticket)


@pytest.fixture(scope="module")
def settings_(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    from server.settings import load_settings

    return load_settings(
        {
            "VISAVIS_DATABASE_URL": "postgresql://localhost/x",
            "VISAVIS_REDIS_URL": "redis://localhost",
            "VISAVIS_SECRET_KEY": "x" * 32,
            "VISAVIS_DATA_DIR": str(tmp_path_factory.mktemp("var")),
        }
    )


@pytest.mark.parametrize("text", ["", "yes:1", "=" * 71, "é" * 71, "A" * 71, "A" * 70, "\0" * 71])
def test_nonsense_is_no_ticket(settings_: Settings, text: str) -> None:
    assert read(settings_, Purpose.BUTTON, text) is None


def step(number: int, answer: Answer | None, said: int) -> Step:
    at = NOON + timedelta(seconds=said)
    return Step(WHO, number, answer, "page", False, at, at)


@hypothesis(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(Answer), st.integers(0, 5)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_what_was_said_last_counts_in_whatever_order_it_came(said, dice) -> None:  # type: ignore[no-untyped-def]
    steps = [step(0, None, 0), *(step(n, answer, at) for n, (answer, at) in enumerate(said, 1))]
    shuffled = steps[:]
    dice.shuffle(shuffled)
    found = newest(shuffled)
    if not said:
        assert found is None
    else:
        latest = max(at for _, at in said)
        assert found is not None and found.said_at == NOON + timedelta(seconds=latest)
        assert found.answer == [answer for answer, at in said if at == latest][-1]
    [person] = confirmation_of(SESSION, 1, shuffled).people
    assert (person.answer, person.changes) == (found.answer if found else None, max(0, len(said) - 1))


def test_an_answer_is_missing_two_hours_before_and_never_before_there_was_time_to_give_it() -> None:
    asked = [NOON - timedelta(hours=h) for h in (24, 4, 2, 1)]
    found = [missed_at(NOON, at) for at in asked]
    assert found[:2] == [NOON - MISSED_AT] * 2
    assert found[2:] == [at + TIME_TO_ANSWER for at in asked[2:]]
    assert all(earlier <= later for earlier, later in pairwise(found))
