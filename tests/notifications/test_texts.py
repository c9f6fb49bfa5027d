"""Every kind of message has its texts, tells times in the reader's zone, and invites as calendars expect."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Calendar

from jobs.reminders import TEMPLATES as TIERS
from jobs.replies import REASON
from server.attendance.ladder import STEPS
from server.conduct.model import CORRECTED
from server.confirmations.model import Answer
from server.confirmations.tickets import Verb
from server.integrations.channel import Form, Message
from server.integrations.channels import REGISTRY
from server.integrations.mail import calendar_method, compose
from server.integrations.whatsapp import MAX_TITLE
from server.notifications.calendar import Method, invitation
from server.notifications.model import FIRST_DELAY, LONGEST_DELAY, Attendee, Kind, Occasion, backoff
from server.notifications.reach import LANGUAGE
from server.notifications.texts import TEMPLATES, candidates, render, span_of
from server.notifications.tongues import TONGUES, Tongue
from server.sessions.model import Outcome

SESSION = UUID("0192f0c1-7c3a-7000-8000-000000000001")
START = datetime(2026, 11, 26, 18, 30, tzinfo=UTC)
END = START + timedelta(hours=1)
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
OUR_OWN = Attendee("Visavis", "noreply@example.org")

VALUES: dict[str, Any] = {
    "name": "Reader",
    "mentor": Attendee("Asha Rao", "asha@example.org"),
    "mentee": Attendee("Jonas Weber", "jonas@example.org"),
    "start": START,
    "end": END,
    "topic": "Careers",
    "note": "Hi",
    "price_tokens": 30,
    "confirmed": True,
    "reason": "ill",
    "url": "https://v.example/sessions/1",
    "booking_url": "https://v.example/bookings/1",
    "mentor_url": "https://v.example/mentors/1",
    "mentors_url": "https://v.example/mentors",
    "earning": 24,
    "fee": 6,
    "label": "2026-11",
    "period_start": START,
    "period_end": END,
    "total_tokens": 24,
    "session_count": 1,
    "proposed_start": START + timedelta(days=1),
    "proposed_end": END + timedelta(days=1),
    "answer_by": START - timedelta(days=1),
    "answered": True,
    "links": {
        name: f"https://v.example/links/{name}" for name in ("approve", "reject", "confirm", "cancel", "move")
    },
    "paid": 30,
    "released": 0,
    "rebook_url": "https://v.example/links/rebook",
    "slots": [{"start": START, "end": END, "url": "https://v.example/links/rebook?at=1"}],
    "number": 3,
    "limit": 3,
    "within_days": 90,
    "lasts_days": 14,
    "until": END,
    "words": "The line was down.",
    "standing_url": "https://v.example/standing",
    "testimonial_url": "https://v.example/testimonials/1",
    "mentees": 12,
    "booked": 9,
    "held": 7,
    "missed": 1,
    "account": "asha@example.org",
    "service": "Google",
    "confirm": {name: f"https://v.example/confirm/{name}" for name in ("yes", "no", "move")},
    "silent": [{"name": "Asha Rao", "role": "mentor"}, {"name": "Jonas Weber", "role": "mentee"}],
    "who": {"name": "Asha Rao", "role": "mentor"},
    "writer": "Asha Rao",
    "answer": "yes",
    "previous": "",
    "since": "",
    "said": "yes",
    "other": "Asha Rao",
    "late": False,
    "standing": "yes",
    "detail": "No.",
    "refusal": "",
    "named": [{"name": "Asha Rao", "start": START, "end": END}],
    "move_link": "https://v.example/links/move",
    "address": "+15550123456",
    "waiting": True,
    "before": "both_absent",
    "outcome": "completed",
    "amended_reason": "A broken camera",
    "review_note": "The room was empty",
    "role": "mentor",
    "email": "asha@example.org",
    "old_email": "asha@example.net",
    "verify_url": "https://v.example/address/1",
    "settings_url": "https://v.example/settings",
    "days": 7,
    "code": "042195",
    "minutes": 10,
}


def occasion(**changes: Any) -> Occasion:
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "start": START,
        "end": END,
        "mentor": VALUES["mentor"],
        "mentee": VALUES["mentee"],
        "topic": "Careers",
        "note": "",
        "price_tokens": 30,
        "revision": 3,
        "confirmed": True,
        "reason": "",
        "url": f"https://v.example/sessions/{SESSION}",
        "booking_url": "https://v.example/bookings/1",
    }
    return Occasion(**{**fields, **changes})


def names() -> list[tuple[str, str]]:
    """Every text a reaction or job can ask for."""
    one_sided = {
        Kind.BOOKING_REQUESTED: ["mentor"],
        Kind.BOOKING_REJECTED: ["mentee"],
        Kind.PAYSLIP: ["mentor"],
        Kind.JOURNEY: ["admin"],
        Kind.SLOT_OFFERED: ["mentee"],
        Kind.TESTIMONIAL_REJECTED: ["mentee"],
        Kind.WELCOME: ["person"],
        Kind.VERIFY_ADDRESS: ["person"],
        Kind.ADDRESS_CHANGED: ["person"],
        Kind.VERIFY_NUMBER: ["person"],
        Kind.TEST: ["ops"],
        Kind.REPLY_UNCLEAR: ["ops", "admin"],
        Kind.CONFIRMATION_MISSING: ["ops", "admin"],
        Kind.CONFIRMATION_AMENDED: ["ops", "admin"],
    }
    plain = [
        (k.value, role)
        for k in Kind
        if k not in (Kind.FOLLOW_UP, Kind.REMINDER, Kind.NO_SHOW_NUDGE)
        for role in one_sided.get(k, ["mentor", "mentee"])
    ]
    both = ("mentor", "mentee")
    plain += [(f"{Kind.NO_SHOW_NUDGE}_{minutes}", role) for minutes in STEPS for role in both]
    plain += [(name, role) for name in ("verdict_amended", "review_upheld") for role in both]
    plain += [(name, role) for _, name in TIERS for role in ("mentor", "mentee")]
    return plain + [(f"{Kind.FOLLOW_UP}_{o}", role) for o in Outcome for role in ("mentor", "mentee")]


def short_forms() -> list[tuple[str, str, str]]:
    """(name, role, channel) of every file made for a short channel or for all of them."""
    parts = [path.name.split(".") for path in TEMPLATES.glob("*.txt")]
    return sorted((p[0], p[1], p[2]) for p in parts if len(p) == 4)


def test_there_is_a_mail_for_each_text_and_no_other_file() -> None:
    mails = {path.name for path in TEMPLATES.glob("*.txt")} - {".".join((*it, "txt")) for it in short_forms()}
    assert mails == {f"{kind}.{role}.txt" for kind, role in names()}
    channels = {name for name, module in REGISTRY.items() if module.TRAITS.form is Form.SHORT}
    assert {channel for _, _, channel in short_forms()} <= {Form.SHORT.value, *channels}
    assert {(kind, role) for kind, role, _ in short_forms()} <= set(names())


@pytest.mark.parametrize(("kind", "role", "channel"), short_forms())
def test_every_short_text_fits_one_look(kind: str, role: str, channel: str) -> None:
    text = render(
        kind,
        role,
        ZoneInfo("Asia/Kolkata"),
        VALUES,
        channel=channel,
        form=Form.SHORT,
        link="https://v.example/x",
    )
    assert 2 < len(text.subject) < 60 and len(text.body) < 250
    assert "{" not in text.subject + text.body and text.body.count("\n") == 1
    assert "https://v.example/x" in text.body


def test_a_short_form_without_a_file_is_the_subject_and_the_link() -> None:
    mail = render("payslip", "mentor", ZoneInfo("UTC"), VALUES)
    text = render(
        "payslip", "mentor", ZoneInfo("UTC"), VALUES, channel="sms", form=Form.SHORT, link="https://v/x"
    )
    assert (text.subject, text.body) == (mail.subject, "https://v/x\n")


def test_the_channels_own_file_comes_first_and_the_readers_language_before_english() -> None:
    found = candidates("reminder_4_hours", "mentor", "whatsapp", Form.SHORT, "de")
    assert found == [
        "de/reminder_4_hours.mentor.whatsapp.txt", "reminder_4_hours.mentor.whatsapp.txt",
        "de/reminder_4_hours.mentor.short.txt", "reminder_4_hours.mentor.short.txt",
        "de/reminder_4_hours.mentor.txt", "reminder_4_hours.mentor.txt",
    ]  # fmt: skip
    assert candidates("payslip", "mentor", "email", Form.LONG, "en") == [
        "payslip.mentor.email.txt",
        "payslip.mentor.txt",
    ]


@pytest.mark.parametrize(("kind", "role"), names())
@pytest.mark.parametrize("sparse", [False, True])
def test_every_text_can_be_filled(kind: str, role: str, sparse: bool) -> None:
    nothing = {"topic": "", "note": "", "reason": "", "price_tokens": 0, "confirmed": False, "waiting": False}
    nothing |= {"slots": [], "rebook_url": "", "testimonial_url": "", "paid": 0}
    values = VALUES | (nothing if sparse else {})
    text = render(kind, role, ZoneInfo("Asia/Kolkata"), values, link="https://v.example/x")
    assert 5 < len(text.subject) < 100
    letter = role != "ops" and kind != Kind.REPLY
    assert text.body.startswith("Hello Reader,\n\n") is letter
    assert "\n\n\n" not in text.body
    assert "{" not in text.subject + text.body


@pytest.mark.parametrize("said", [
    "yes", "no", "move", "really", "cancelled", "kept", "overtaken", "which", "nothing", "passed_on", "refused",
])  # fmt: skip
def test_every_answer_to_a_reply_is_one_line_that_fits_a_message(said: str) -> None:
    for role in ("mentor", "mentee"):
        text = render(
            Kind.REPLY, role, ZoneInfo("Asia/Kolkata"), VALUES | {"said": said, "late": True}, channel="whatsapp",
            form=Form.SHORT, link="https://v/x",
        )  # fmt: skip
        assert text.body.count("\n") == 1 and 10 < len(text.body) < 400 and "https://v" in text.body
        assert ("had been told" in text.body) is (said in ("yes", "no", "move"))


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("Asia/Kolkata", "Friday, 27 November 2026, 00:00 to 01:00 (Asia/Kolkata, UTC+05:30)"),
        ("America/New_York", "Thursday, 26 November 2026, 13:30 to 14:30 (America/New_York, UTC-05:00)"),
        ("UTC", "Thursday, 26 November 2026, 18:30 to 19:30 (UTC, UTC+00:00)"),
    ],
)
def test_times_are_the_readers(zone: str, told: str) -> None:
    assert span_of(START, ZoneInfo(zone), END) == told
    assert told in render("reminder_30_minutes", "mentee", ZoneInfo(zone), VALUES).body


@pytest.mark.parametrize("tongue", TONGUES.values(), ids=list(TONGUES))
def test_every_language_has_words_for_every_answer_and_outcome(tongue: Tongue) -> None:
    assert set(tongue.answers) == set(Answer) and set(tongue.outcomes) == set(Outcome)
    assert set(tongue.buttons) == set(Verb) and all(len(it) <= MAX_TITLE for it in tongue.buttons.values())
    assert len(set(tongue.buttons.values())) == len(Verb)


def test_german_readers_get_german_days_and_an_english_text_english_ones() -> None:
    zone = ZoneInfo("Asia/Kolkata")
    german = render("reminder_30_minutes", "mentee", zone, VALUES, language="de").body
    assert "Freitag, 27. November 2026, 00:00 bis 01:00 Uhr (Asia/Kolkata, UTC+05:30)" in german
    english = render("reminder_30_minutes", "mentee", zone, VALUES, language="fr").body
    assert "Friday, 27 November 2026, 00:00 to 01:00 (Asia/Kolkata, UTC+05:30)" in english


@pytest.mark.parametrize("language", sorted(set(TONGUES) - {LANGUAGE}))
@pytest.mark.parametrize("sparse", [False, True])
def test_every_text_of_another_language_is_one_of_ours_and_can_be_filled(language: str, sparse: bool) -> None:
    """For each text that a person can get, in each form: operators read English."""
    theirs = {path.name for path in (TEMPLATES / language).glob("*.txt")}
    assert theirs == {path.name for path in TEMPLATES.glob("*.txt") if ".ops." not in path.name}
    nothing = {"topic": "", "note": "", "reason": "", "price_tokens": 0, "confirmed": False}
    nothing |= {"slots": [], "rebook_url": "", "testimonial_url": "", "paid": 0}
    values = VALUES | (nothing if sparse else {})
    for name in sorted(theirs):
        kind, role, *short = name.removesuffix(".txt").split(".")
        form = Form.SHORT if short else Form.LONG
        link = "https://v.example/x"
        text = render(
            kind, role, ZoneInfo("Asia/Kolkata"), values, form=form, language=language, link=link,
            channel=short[0] if short and short[0] != Form.SHORT else "email",
        )  # fmt: skip
        assert 2 < len(text.subject) < 120 and "{" not in text.subject + text.body, name
        assert "\n\n\n" not in text.body, name
        letter = form is Form.LONG and kind != Kind.REPLY
        assert text.body.startswith("Guten Tag Reader,\n\n") is letter, name
        assert letter or (link in text.body and len(text.body) < 250), name
        english = render(kind, role, ZoneInfo("Asia/Kolkata"), values, form=form, link=link)
        assert text.body != english.body, f"{name} says the same as the English one"


@pytest.mark.parametrize("path", sorted((TEMPLATES / "de").glob("*.txt")), ids=lambda path: path.name)
def test_no_english_word_is_in_a_german_text(path: Path) -> None:
    told = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", path.read_text(), flags=re.DOTALL)
    english = r"\b(the|and|you|your|with|not|has|have|of|to|is|it|hello|session|sessions|yes|cancel|topic)\b"
    assert re.findall(english, told.removeprefix("Subject: "), re.IGNORECASE) == []


@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_what_became_of_a_session_and_of_a_question_is_told_in_german(role: str) -> None:
    english, german = TONGUES["en"], TONGUES["de"]
    zone = ZoneInfo("Europe/Berlin")
    for outcome in Outcome:
        values = VALUES | {"before": outcome, "outcome": Outcome.COMPLETED}
        mail = render("verdict_amended", role, zone, values, language="de").body
        assert f"Vorher: {german.outcomes[outcome]}\n" in mail
        assert not any(words in mail for words in english.outcomes.values())
    for answer in Answer:
        values = VALUES | {"answer": answer, "previous": Answer.MOVE, "standing": answer, "said": "overtaken"}
        mail = render("confirmation_amended", "admin", zone, values, language="de").body
        assert f"  {german.answers[answer]} (vorher: {german.answers[Answer.MOVE]})\n" in mail
        said = render("reply", role, zone, values, channel="whatsapp", form=Form.SHORT, language="de").body
        assert {"yes": "ja", "no": "nein", "move": "eine andere Zeit"}[answer] in said
        assert not any(f": {it}" in mail + said for it in (*english.answers.values(), "another time"))


@pytest.mark.parametrize(
    ("template", "value", "sentence"),
    [("booking_cancelled", "reason", REASON), ("conduct_lifted", "words", CORRECTED)],
)
@pytest.mark.parametrize("role", ["mentor", "mentee"])
def test_our_own_reasons_are_german_and_a_persons_are_as_written(
    template: str, value: str, sentence: str, role: str
) -> None:
    for written, told in ((sentence, TONGUES["de"].ours[sentence]), ("I have the flu.", "I have the flu.")):
        mail = render(template, role, ZoneInfo("UTC"), VALUES | {value: written}, language="de").body
        assert told in mail and sentence not in mail


@pytest.mark.parametrize("said", ["cancelled", "begun", "moved"])
def test_a_refused_answer_is_refused_in_german(said: str) -> None:
    values = VALUES | {
        "said": "refused",
        "refusal": f"session_{said}",
        "detail": "This session was called off.",
    }
    text = render(
        "reply", "mentee", ZoneInfo("UTC"), values, channel="whatsapp", form=Form.SHORT, language="de"
    )
    assert "This" not in text.body and "Gespräch" in text.body and "gerade nicht möglich" not in text.body


def test_a_topic_cannot_forge_a_subject() -> None:
    text = render(
        "reminder_30_minutes",
        "mentee",
        ZoneInfo("UTC"),
        VALUES | {"mentor": Attendee("A\nBcc: b@example.org", "a@b.c")},
    )
    assert "\n" not in text.subject


@pytest.mark.parametrize(("method", "status"), [(Method.REQUEST, "CONFIRMED"), (Method.CANCEL, "CANCELLED")])
def test_an_invitation_is_what_calendars_expect(method: Method, status: str) -> None:
    text = invitation(occasion(), method, OUR_OWN, NOW)
    assert "\r\n" in text and all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    calendar = Calendar.from_ical(text)
    assert (calendar["METHOD"], calendar["VERSION"]) == (method.value, "2.0")
    event: Any = calendar.walk("VEVENT")[0]
    assert event["UID"] == f"session-{SESSION}@visavis"
    assert (int(event["SEQUENCE"]), event["STATUS"]) == (3, status)
    assert event["DTSTART"].to_ical() == b"20261126T183000Z"
    assert event["DTEND"].to_ical() == b"20261126T193000Z"
    assert event["ORGANIZER"] == "mailto:noreply@example.org"
    assert list(event["ATTENDEE"]) == ["mailto:asha@example.org", "mailto:jonas@example.org"]
    assert event["ATTENDEE"][0].params["CN"] == "Asha Rao"
    assert event["URL"] == f"https://v.example/sessions/{SESSION}"


def test_an_unconfirmed_time_is_tentative() -> None:
    [event] = Calendar.from_ical(invitation(occasion(confirmed=False), Method.REQUEST, OUR_OWN, NOW)).walk(
        "VEVENT"
    )
    assert event["STATUS"] == "TENTATIVE"


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=100), st.text(max_size=200))
def test_no_name_or_topic_breaks_an_invitation(name: str, topic: str) -> None:
    topic = "".join(c for c in topic if c.isprintable())
    calendar = Calendar.from_ical(
        invitation(
            occasion(mentor=Attendee(name, "asha@example.org"), topic=topic), Method.REQUEST, OUR_OWN, NOW
        )
    )
    event: Any = calendar.walk("VEVENT")[0]
    assert event["UID"] == f"session-{SESSION}@visavis"
    assert len(event["ATTENDEE"]) == 2


def test_the_mail_carries_the_invitation_as_an_attachment() -> None:
    calendar = invitation(occasion(), Method.CANCEL, OUR_OWN, NOW)
    message = Message(SESSION, "jonas@example.org", "Cancelled:\n your session", "Hello\n", calendar, NOW)
    mail = message_from_bytes(
        compose(message, "Visavis <noreply@example.org>").as_bytes(), policy=policy.default
    )
    assert isinstance(mail, EmailMessage)
    assert (mail["To"], mail["Subject"]) == ("jonas@example.org", "Cancelled: your session")
    assert mail["Message-ID"] == f"<{SESSION}@example.org>"
    body = mail.get_body(("plain",))
    assert body is not None and body.get_content() == "Hello\n"
    [attached] = mail.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("text/calendar", "session.ics")
    assert attached.get_param("method") == "CANCEL" == calendar_method(calendar)
    assert Calendar.from_ical(attached.get_content())["METHOD"] == "CANCEL"


@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_retries_slow_down_and_never_stop_altogether(attempts: int, dice: Random) -> None:
    delay = backoff(attempts, dice)
    assert FIRST_DELAY / 2 <= delay <= LONGEST_DELAY
    assert delay <= FIRST_DELAY * 2 ** min(attempts - 1, 16)
