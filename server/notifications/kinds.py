"""What there is to say about each kind of message: its name for people, and where it goes unasked; pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from server.notifications.model import Kind

_BOTH: Final = frozenset({"mentor", "mentee"})
_MENTOR: Final = frozenset({"mentor"})
_MENTEE: Final = frozenset({"mentee"})
_ADMIN: Final = frozenset({"admin"})
_NOBODY: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class About:
    """``essential``: its mail cannot be switched off, for it is about money, access or an agreed time. ``pressing``:
    it is worth a buzz, so it goes to the telephones of those who gave one, unless they say otherwise. ``own``: about
    one's own bookings, so that its mail goes to an address that was not verified yet, as essential ones do; any other
    waits for that. ``team``: it is for whoever runs the place, so it goes to the team's channel where there is one, and
    else to each administrator. Without ``roles`` there is nothing to choose: it goes to the one address that it is
    about."""

    title: str
    roles: frozenset[str]
    essential: bool = False
    pressing: bool = False
    own: bool = False
    team: bool = False


KINDS: Final[Mapping[Kind, About]] = MappingProxyType(
    {
        Kind.BOOKING_REQUESTED: About("Somebody asks for a session", _MENTOR, pressing=True, own=True),
        Kind.BOOKING_APPROVED: About("A session is agreed", _BOTH, essential=True),
        Kind.BOOKING_REJECTED: About("A request is declined", _MENTEE, essential=True),
        Kind.BOOKING_RESCHEDULED: About("A session has moved", _BOTH, essential=True, pressing=True),
        Kind.BOOKING_CANCELLED: About("A session is cancelled", _BOTH, essential=True, pressing=True),
        Kind.BOOKING_EXPIRED: About("A request has run out", _BOTH, own=True),
        Kind.MOVE_PROPOSED: About("Another time is proposed", _BOTH, essential=True, pressing=True),
        Kind.MOVE_DECLINED: About("A proposed time is declined", _BOTH, own=True),
        Kind.MOVE_ASKED: About("An administrator asks for another time", _BOTH, essential=True),
        Kind.SLOT_OFFERED: About("A time is free for you", _MENTEE, pressing=True, own=True),
        Kind.REMINDER: About("A session comes near", _BOTH, pressing=True, own=True),
        Kind.NO_SHOW_NUDGE: About("You are being waited for", _BOTH, pressing=True, own=True),
        Kind.FOLLOW_UP: About("After a session", _BOTH, own=True),
        Kind.TESTIMONIAL_PUBLISHED: About("Words about a session are published", _BOTH),
        Kind.TESTIMONIAL_REJECTED: About("Your words were not published", _MENTEE),
        Kind.CONDUCT_WARNED: About("You have missed sessions", _BOTH, essential=True),
        Kind.CONDUCT_RESTRICTED: About("You cannot book for a while", _BOTH, essential=True),
        Kind.CONDUCT_LIFTED: About("You can book again", _BOTH, essential=True),
        Kind.CONDUCT_APPEALED: About("Your appeal has arrived", _BOTH, essential=True),
        Kind.CONDUCT_APPEAL_ACCEPTED: About("Your appeal was accepted", _BOTH, essential=True),
        Kind.CONDUCT_APPEAL_REJECTED: About("Your appeal was not accepted", _BOTH, essential=True),
        Kind.PAYSLIP: About("Your payslip", _MENTOR, essential=True),
        Kind.CALENDAR_BROKEN: About("A calendar of yours is disconnected", _BOTH, essential=True),
        Kind.JOURNEY: About("The mentee journey of a month is written", _ADMIN),
        Kind.WELCOME: About("Welcome", _NOBODY, essential=True),
        Kind.VERIFY_ADDRESS: About("Is this your address?", _NOBODY, essential=True),
        Kind.ADDRESS_CHANGED: About("Your address has changed", _NOBODY, essential=True),
        Kind.VERIFY_NUMBER: About("Is this your number?", _NOBODY, essential=True),
        Kind.TEST: About("A test by an administrator", _NOBODY, essential=True),
        Kind.REPLY: About("An answer to what you wrote", _NOBODY),
        Kind.REPLY_UNCLEAR: About("Somebody wrote what we do not understand", _ADMIN, team=True),
        Kind.CONFIRMATION_MISSING: About("Somebody has not said whether they come", _ADMIN, team=True),
        Kind.CONFIRMATION_AMENDED: About("A late answer to whether they come", _ADMIN, team=True),
    }
)

# Texts of a kind that do not begin with its name, and their own titles.
NAMED: Final[Mapping[str, tuple[Kind, str]]] = MappingProxyType(
    {
        "verdict_amended": (Kind.FOLLOW_UP, "The result of a session has changed"),
        "review_upheld": (Kind.FOLLOW_UP, "The result of a session stands after a review"),
    }
)
