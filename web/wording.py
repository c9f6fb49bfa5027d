"""The pages behind links in mails, in the languages that mails are written in: whoever follows one reads on in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from server.base.context import Context
from server.base.db import COMMAND_TIMEOUT
from server.base.errors import Refusal
from server.notifications.actions import reach_in
from server.notifications.reach import LANGUAGE
from server.notifications.texts import clock_of, day_of, zone_name
from server.people.model import User

Words: TypeAlias = Mapping[str, str]

# Every language has the same names; `str.format` fields are the same, too. A name may end in an answer or an action.
WORDS: Final[Mapping[str, Words]] = MappingProxyType(
    {
        "en": {
            "with": "With",
            "when": "When",
            "topic": "Topic",
            "span": "{day}, {start} to {end}",
            "session_with": "Session with {other}",
            "fee": "The time for cancelling without charge is over: {fee} of {price} tokens go to {mentor}.",
            "nothing": "Nothing to answer here",
            "broken": "This link does not work",
            "your_bookings": "Your bookings",
            # Are you coming?
            "title_yes": "Are you coming?",
            "title_no": "Can you not come?",
            "title_move": "Another time?",
            "button_yes": "Yes, I am coming",
            "button_no": "No, I cannot come",
            "button_move": "Ask for another time",
            "done_yes": "Thanks, noted.",
            "done_no": "Noted. Cancel it, or propose another time.",
            "done_move": "Noted. Now choose the time.",
            "said_yes": "You have said that you are coming, {at}.",
            "said_no": "You have said that you cannot come, {at}.",
            "said_move": "You have asked for another time, {at}.",
            "late": "It came after our team was told that you had not answered, and was passed on.",
            "stands": "The session still stands. What is to become of it?",
            "propose": "Propose another time",
            "changed": "Changed your mind? You can until the session begins.",
            "otherwise": "Or say otherwise. You can change it until the session begins.",
            # What a link does.
            "title_approve": "Agree to this time?",
            "title_reject": "Decline this time?",
            "title_confirm": "Take this time?",
            "title_cancel": "Cancel this session?",
            "title_propose": "Propose another time?",
            "title_rebook": "Book another time?",
            "button_approve": "Agree",
            "button_reject": "Decline",
            "button_confirm": "Take it",
            "button_cancel": "Cancel the session",
            "button_propose": "Propose it",
            "button_rebook": "Book it",
            "done_approve": "Agreed. You both get a mail.",
            "done_reject": "Declined. The other side is told.",
            "done_confirm": "It is yours. You get a mail when it is confirmed.",
            "done_cancel": "Cancelled. The other side is told.",
            "done_propose": "Proposed. Until the other side agrees, the old time stands.",
            "done_rebook": "Requested. You get a mail when it is confirmed.",
            "asked_for": "Asked for",
            "missed": "Missed",
            "now": "Now",
            "price": "Price",
            "costs": "{price} tokens, from your wallet",
            "costs_one": "1 token, from your wallet",
            "free": "free",
            "used": "This link has done its work.",
            "see_booking": "Log in to see the booking",
            "see_bookings": "Log in to see your bookings",
            "gone": "The time in your mail has been taken meanwhile.",
            "these": "These are open:",
            "new_time": "New time",
            "choose": "Choose a time",
            "choose_another": "Choose another time",
            "no_times": "No open times in the next weeks",
            "reason": "Reason",
            "optional": "(optional)",
            "reads": "{other} will read it.",
            "all_times": "See all times",
            "log_in": "Log in for more",
        },
        "de": {
            "with": "Mit",
            "when": "Wann",
            "topic": "Thema",
            "span": "{day}, {start} bis {end} Uhr",
            "session_with": "Gespräch mit {other}",
            "fee": "Die Frist für eine kostenlose Absage ist vorbei: {fee} von {price} Tokens gehen an {mentor}.",
            "nothing": "Hier gibt es nichts zu beantworten",
            "broken": "Dieser Link ist nicht gültig",
            "your_bookings": "Ihre Buchungen",
            "title_yes": "Kommen Sie?",
            "title_no": "Können Sie nicht kommen?",
            "title_move": "Eine andere Zeit?",
            "button_yes": "Ja, ich komme",
            "button_no": "Nein, ich kann nicht",
            "button_move": "Um eine andere Zeit bitten",
            "done_yes": "Danke, notiert.",
            "done_no": "Notiert. Sagen Sie ab, oder schlagen Sie eine andere Zeit vor.",
            "done_move": "Notiert. Wählen Sie jetzt die Zeit.",
            "said_yes": "Sie haben um {at} Uhr gesagt, dass Sie kommen.",
            "said_no": "Sie haben um {at} Uhr gesagt, dass Sie nicht kommen können.",
            "said_move": "Sie haben um {at} Uhr um eine andere Zeit gebeten.",
            "late": "Unser Team wusste da schon, dass Ihre Antwort fehlte, und hat sie jetzt.",
            "stands": "Noch ist nichts abgesagt. Wie soll es weitergehen?",
            "propose": "Eine andere Zeit vorschlagen",
            "changed": "Doch anders? Bis zum Beginn können Sie es ändern.",
            "otherwise": "Oder antworten Sie anders. Bis zum Beginn können Sie es ändern.",
            "title_approve": "Dieser Zeit zustimmen?",
            "title_reject": "Diese Zeit ablehnen?",
            "title_confirm": "Diese Zeit nehmen?",
            "title_cancel": "Dieses Gespräch absagen?",
            "title_propose": "Eine andere Zeit vorschlagen?",
            "title_rebook": "Eine andere Zeit buchen?",
            "button_approve": "Zustimmen",
            "button_reject": "Ablehnen",
            "button_confirm": "Nehmen",
            "button_cancel": "Das Gespräch absagen",
            "button_propose": "Vorschlagen",
            "button_rebook": "Buchen",
            "done_approve": "Vereinbart. Sie bekommen beide eine Mail.",
            "done_reject": "Abgelehnt. Die andere Seite erfährt es von uns.",
            "done_confirm": "Die Zeit gehört Ihnen. Sie bekommen eine Mail, sobald sie bestätigt ist.",
            "done_cancel": "Abgesagt. Die andere Seite erfährt es von uns.",
            "done_propose": "Vorgeschlagen. Bis die andere Seite zustimmt, gilt die alte Zeit.",
            "done_rebook": "Angefragt. Sie bekommen eine Mail, sobald es bestätigt ist.",
            "asked_for": "Gewünscht",
            "missed": "Versäumt",
            "now": "Bisher",
            "price": "Preis",
            "costs": "{price} Tokens aus Ihrer Wallet",
            "costs_one": "1 Token aus Ihrer Wallet",
            "free": "kostenlos",
            "used": "Dieser Link hat seine Arbeit getan.",
            "see_booking": "Zur Buchung anmelden",
            "see_bookings": "Zu Ihren Buchungen anmelden",
            "gone": "Die Zeit aus Ihrer Mail ist inzwischen vergeben.",
            "these": "Diese sind frei:",
            "new_time": "Neue Zeit",
            "choose": "Wählen Sie eine Zeit",
            "choose_another": "Wählen Sie eine andere Zeit",
            "no_times": "Keine freien Zeiten in den nächsten Wochen",
            "reason": "Grund",
            "optional": "(freiwillig)",
            "reads": "{other} wird ihn lesen.",
            "all_times": "Alle Zeiten ansehen",
            "log_in": "Anmelden für mehr",
            # What a booking is; English pages have these words in their badges.
            "status_hold": "Freigehalten",
            "status_requested": "Angefragt",
            "status_approved": "Vereinbart",
            "status_rejected": "Abgelehnt",
            "status_expired": "Verfallen",
            "status_cancelled": "Abgesagt",
            "status_held": "Gehalten",
            # Why a link does nothing any more, by the refusal's code.
            "session_cancelled": "Dieses Gespräch ist abgesagt, es gibt also nichts mehr zu beantworten.",
            "session_begun": "Dieses Gespräch hat schon begonnen, es gibt also nichts mehr zu beantworten.",
            "session_moved": "Das galt einer anderen Zeit: Das Gespräch wurde inzwischen verschoben oder geändert.",
        },
    }
)


@dataclass(frozen=True, slots=True)
class Voice:
    """How a page speaks to the person whom a link belongs to."""

    language: str
    zone: ZoneInfo

    def say(self, name: str, **fields: object) -> str:
        return WORDS[self.language][name].format(**fields)

    def refuse(self, refusal: Refusal) -> str:
        """Why not; English for what nobody has put into this language."""
        return WORDS[self.language].get(refusal.code, refusal.detail)

    def span(self, start: datetime, end: datetime) -> str:
        """The page tells the `place` beside it."""
        return self.say(
            "span",
            day=day_of(start, self.zone, self.language),
            start=clock_of(start, self.zone),
            end=clock_of(end, self.zone),
        )

    def place(self, at: datetime) -> tuple[str, str]:
        """``Asia/Kolkata`` and ``UTC+05:30``."""
        name, _, offset = zone_name(at, self.zone).rpartition(", ")
        return name, offset

    def status(self, status: str) -> str:
        return WORDS[self.language].get(f"status_{status}", "")


ENGLISH: Final = Voice(LANGUAGE, ZoneInfo("UTC"))  # for whom we do not know


async def voice_of(ctx: Context, person: User) -> Voice:
    """In the language of the person's messages."""
    async with ctx.pool.acquire(timeout=COMMAND_TIMEOUT) as conn:
        reach = await reach_in(conn, person)
    return Voice(reach.language if reach.language in WORDS else LANGUAGE, reach.zone)
