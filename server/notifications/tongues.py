"""The languages we write in: what each calls the things that a text takes from a closed set; pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from server.notifications.reach import LANGUAGE


@dataclass(frozen=True, slots=True)
class Tongue:
    """How a language calls itself and tells a day and a span of time (`str.format` fields), what somebody has answered
    when asked whether they come, what the buttons under such a question say, and what became of a session."""

    name: str
    weekdays: tuple[str, ...]  # Monday first
    months: tuple[str, ...]
    day: str
    span: str
    answers: Mapping[str, str]  # by server.confirmations.model.Answer
    buttons: Mapping[str, str]  # by server.confirmations.tickets.Verb; WhatsApp takes 20 characters
    outcomes: Mapping[str, str]  # by server.sessions.model.Outcome
    ours: Mapping[str, str]  # by the English sentence, where we wrote what else a person writes


TONGUES: Final[Mapping[str, Tongue]] = MappingProxyType(
    {
        "en": Tongue(
            "English",
            ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
            (
                "January", "February", "March", "April", "May", "June",
                "July", "August", "September", "October", "November", "December",
            ),
            "{weekday}, {day} {month} {year}",
            "{day}, {start} to {end} ({zone})",
            {"yes": "yes", "no": "no, cannot come", "move": "asks for another time"},
            {
                "yes": "Yes, I am coming",
                "no": "No",
                "move": "Another time",
                "cancel": "Cancel",
                "cancel_now": "Yes, cancel it",
                "keep": "Keep it",
            },
            {
                "completed": "you met",
                "mentor_no_show": "the mentor did not come",
                "mentee_no_show": "the mentee did not come",
                "both_absent": "nobody came",
                "cancelled": "it did not take place, and counts against nobody",
            },
            {},
        ),
        "de": Tongue(
            "Deutsch",
            ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
            (
                "Januar", "Februar", "März", "April", "Mai", "Juni",
                "Juli", "August", "September", "Oktober", "November", "Dezember",
            ),
            "{weekday}, {day}. {month} {year}",
            "{day}, {start} bis {end} Uhr ({zone})",
            {"yes": "ja", "no": "nein, kann nicht kommen", "move": "bittet um eine andere Zeit"},
            {
                "yes": "Ja, ich komme",
                "no": "Nein",
                "move": "Andere Zeit",
                "cancel": "Absagen",
                "cancel_now": "Ja, absagen",
                "keep": "Nicht absagen",
            },
            {
                "completed": "Sie haben sich getroffen",
                "mentor_no_show": "der Mentor ist nicht gekommen",
                "mentee_no_show": "der Mentee ist nicht gekommen",
                "both_absent": "niemand ist gekommen",
                "cancelled": "es hat nicht stattgefunden und zählt gegen niemanden",
            },
            {
                "Cancelled by an answer to our question whether they come.": "Abgesagt als Antwort auf unsere Frage,"
                " ob es dabei bleibt.",
                "What was counted has been corrected.": "Was gezählt wurde, ist berichtigt.",
            },
        ),
    }
)  # fmt: skip


def tongue_of(language: str) -> Tongue:
    """English for a language we have no words of."""
    return TONGUES.get(language, TONGUES[LANGUAGE])
