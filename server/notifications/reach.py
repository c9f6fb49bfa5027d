"""Where a message goes and when: channels, a person's choices, quiet hours; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.integrations.channel import Dials, Form, Traits
from server.notifications.kinds import KINDS
from server.notifications.model import EMAIL, Kind

LANGUAGE: Final = "en"  # of those who chose none, and of texts that are not there in theirs


@dataclass(frozen=True, slots=True)
class Quiet:
    """The wall times between which no telephone buzzes; over midnight when ``start`` is the later one."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Destination:
    """A verified number or device."""

    id: UUID
    channel: str
    address: str


@dataclass(frozen=True, slots=True)
class Reach:
    """How one person is reached. ``choices`` are by (kind, channel) and only where they differ from the default;
    ``verified`` says that the mail address is this person's."""

    email: str
    zone: ZoneInfo
    language: str = LANGUAGE
    quiet: Quiet | None = None
    choices: Mapping[tuple[str, str], bool] | None = None
    destinations: tuple[Destination, ...] = ()
    verified: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """One message to write: by which channel, to what address, and not before when (None: at once)."""

    channel: str
    address: str
    destination_id: UUID | None
    form: Form
    not_before: datetime | None


def fixed(kind: Kind, channel: str) -> bool:
    """Whether there is no choice: the mails that everybody gets."""
    return KINDS[kind].essential and channel == EMAIL


def goes_unverified(kind: Kind) -> bool:
    """Whether its mail goes to an address whose owner has not followed the link: a booking must not get lost."""
    return KINDS[kind].essential or KINDS[kind].own


def wanted(kind: Kind, channel: str, traits: Traits, choices: Mapping[tuple[str, str], bool]) -> bool:
    """Whether this kind goes there: what the person chose, else the default."""
    if fixed(kind, channel):
        return True
    return choices.get((kind, channel), KINDS[kind].pressing or not traits.disturbs)


def ways(
    kind: Kind,
    reach: Reach,
    channels: Iterable[tuple[str, Traits]],
    now: datetime,
    expires_at: datetime | None,
) -> list[Way]:
    """Every message to be written for one person, in the order of ``channels``."""
    found = []
    for name, traits in channels:
        if traits.dials is Dials.TEAM or not wanted(kind, name, traits, reach.choices or {}):
            continue
        if traits.dials is Dials.ACCOUNT and not (reach.verified or goes_unverified(kind)):
            continue
        later = _later(now, reach, expires_at) if traits.disturbs else None
        found += [
            Way(name, address, destination_id, traits.form, later)
            for address, destination_id in _addresses(name, traits.dials, reach)
        ]
    return found


def _addresses(channel: str, dials: Dials, reach: Reach) -> Collection[tuple[str, UUID | None]]:
    own = [it for it in reach.destinations if it.channel == channel]
    match dials:
        case Dials.ACCOUNT:
            return [(reach.email, None)]
        case Dials.PERSON:
            return [("", None)]
        case Dials.NUMBER:  # the newest; the row is for the person, whatever her number is
            return [(own[-1].address, None)] if own else []
        case Dials.DEVICE:
            return [(it.address, it.id) for it in own]
        case Dials.TEAM:
            return []


def _later(now: datetime, reach: Reach, expires_at: datetime | None) -> datetime | None:
    """The end of the quiet hours, unless the message would come too late: then it is worth waking somebody."""
    until = quiet_until(now, reach.quiet, reach.zone) if reach.quiet is not None else None
    return until if until is not None and (expires_at is None or until < expires_at) else None


def quiet_until(now: datetime, quiet: Quiet, zone: ZoneInfo) -> datetime | None:
    """When the quiet hours end (UTC) that hold at ``now``; None when none do.

    They are wall times of the zone: from the first time the clock shows the start until the last time it shows the
    end. An end that spring skips comes an hour later.
    """
    today = now.astimezone(zone).date()
    for back in (1, 0):  # those that began yesterday may still hold
        day = today - timedelta(days=back)
        end_day = day if quiet.start < quiet.end else day + timedelta(days=1)
        start = datetime.combine(day, quiet.start, zone).astimezone(UTC)
        wall = datetime.combine(end_day, quiet.end, zone)
        end = max(wall.astimezone(UTC), wall.replace(fold=1).astimezone(UTC))
        if start <= now < end:
            return end
    return None
