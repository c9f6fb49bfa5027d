"""Every text can be looked at before anybody gets it; and what an SMS of it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.base.errors import NotFound
from server.integrations.segments import Segments, segments
from server.notifications.kinds import KINDS, NAMED
from server.notifications.model import Kind
from server.notifications.preview import catalogue, kind_of, preview
from server.notifications.texts import TEMPLATES
from server.settings import Settings

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("", Segments("GSM-7", 0, 1)),
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("Grüße: 5 €", Segments("GSM-7", 11, 1)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("a" * 152 + "€" + "a" * 153, Segments("GSM-7", 307, 3)),  # the sign does not fit the first any more
        ("ż" * 70, Segments("UCS-2", 70, 1)),
        ("ż" * 71, Segments("UCS-2", 71, 2)),
        ("😀" * 35, Segments("UCS-2", 70, 1)),
        ("“quoted”", Segments("UCS-2", 8, 1)),
    ],
)
def test_segments_are_counted_as_they_are_billed(text: str, counted: Segments) -> None:
    assert segments(text) == counted


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
def test_no_segment_holds_more_than_it_can(text: str) -> None:
    counted = segments(text)
    alone, joined = (160, 153) if counted.encoding == "GSM-7" else (70, 67)
    assert (counted.count == 1) == (counted.units <= alone)
    assert counted.units <= max(alone, counted.count * joined)
    assert counted.count == 1 or counted.units > (counted.count - 1) * (joined - 1)


def test_every_kind_is_in_the_catalogue_and_every_file_serves_somebody() -> None:
    entries = catalogue()
    assert {it.kind for it in entries} == set(KINDS)
    served = {file for it in entries for file in it.files.values()}
    files = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.txt")}
    # A mail's file that is only there for the order of things is served by mail; operators read English.
    assert files - served == set()
    assert kind_of("reminder_4_hours") is Kind.REMINDER and kind_of("verdict_amended") is Kind.FOLLOW_UP
    assert kind_of("conduct_appeal_accepted") is Kind.CONDUCT_APPEAL_ACCEPTED
    with pytest.raises(ValueError, match="max"):
        kind_of("nothing")


def test_every_text_has_a_title_that_people_understand() -> None:
    titles = {it.template: it.title for it in catalogue()}
    assert titles["verdict_amended"] == "The result of a session has changed"
    assert titles["review_upheld"] == "The result of a session stands after a review"
    assert all(title != it.replace("_", " ").capitalize() for it, title in titles.items() if "_" in it)
    assert set(titles.values()) == {it.title for it in KINDS.values()} | {it for _, it in NAMED.values()}


def test_every_text_can_be_previewed_in_every_language(settings: Settings) -> None:
    """What the samples lack would be shown by its name, so that a new text is never a page that breaks; but nothing
    is lacking."""
    lacking: dict[str, list[str]] = {}
    for entry in catalogue():
        for channel, language in entry.files:
            shown = preview(settings, entry.template, entry.role, channel, language, KOLKATA, NOW)
            whole = shown.text.subject + shown.text.body
            assert shown.text.subject and shown.characters <= len(whole) + 1
            assert (shown.segments is not None) == (channel == "sms")
            names = [word for word in whole.split() if "‹" in word]
            lacking.update({entry.template: names} if names else {})
    assert lacking == {}


def test_a_preview_is_told_in_the_readers_zone_and_language(settings: Settings) -> None:
    shown = preview(settings, "reminder_4_hours", "mentor", "email", "de", KOLKATA, NOW)
    assert shown.file == "de/reminder_4_hours.mentor.txt" and "Asia/Kolkata, UTC+05:30" in shown.text.body
    assert "Dienstag, 3. März 2026, 16:30 bis 17:15 Uhr" in shown.text.body
    assert "Wählen Sie, was Sie erfahren" in shown.text.body
    assert shown.text.body.startswith("Guten Tag Asha Ramanathan") and "Jonas Weber" in shown.text.body
    short = preview(settings, "payslip", "mentor", "sms", "en", KOLKATA, NOW)
    assert short.file == "payslip.mentor.txt" and short.text.body.startswith("http")
    for wrong in (("nothing", "mentor", "email", "en"), ("payslip", "mentee", "email", "en")):
        with pytest.raises(NotFound, match="template_not_found"):
            preview(settings, *wrong, KOLKATA, NOW)
    with pytest.raises(NotFound, match="template_not_found"):
        preview(settings, "payslip", "mentor", "slack", "en", KOLKATA, NOW)
