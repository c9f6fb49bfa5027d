"""A missed session's way back: a few open times of the mentor's, one of which a link in the mail books, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from server.availability import slots as open_times
from server.availability import store as availability
from server.availability.model import Slot
from server.base.cache import NoCache
from server.base.db import Conn
from server.booking import store as bookings
from server.booking.model import Booking
from server.conduct import store as conduct
from server.people import actions as people

OFFERED: Final = 3  # times in the mail: what fits a telephone's screen
AHEAD: Final = timedelta(days=21)
GOOD_FOR: Final = timedelta(days=14)  # of the link; later one books as anybody does
_AWAKE: Final = (time(8), time(21))  # on the reader's wall: what is offered first
_ONCE: Final = UUID("0b1ce7de-8a4e-4d0c-9f0b-6f3a9f6d2a41")


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end)"""

    start: datetime
    end: datetime

    def touches(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


def choose(
    open_: Iterable[Span], busy: Sequence[Span], zone: ZoneInfo, most: int = OFFERED
) -> tuple[Span, ...]:
    """Up to ``most`` of the open times, in order: none in the reader's way, on different days and by day on his wall as
    long as there are such."""
    free = sorted(
        (span for span in open_ if not any(span.touches(other) for other in busy)),
        key=lambda span: span.start,
    )

    def rank(span: Span) -> tuple[bool, bool]:
        local = span.start.astimezone(zone)
        return local.date() in days, not _AWAKE[0] <= local.time() <= _AWAKE[1]

    chosen: list[Span] = []
    days: set[object] = set()
    while free and len(chosen) < most:
        best = min(free, key=rank)  # the earliest of the best: min keeps the first
        free.remove(best)
        chosen.append(best)
        days.add(best.start.astimezone(zone).date())
    return tuple(sorted(chosen, key=lambda span: span.start))


def once(missed: Booking) -> UUID:
    """What all links about one missed session share: only one of them ever books."""
    return uuid5(_ONCE, str(missed.id))


async def times_in(conn: Conn, missed: Booking, now: datetime) -> list[Span]:
    """The mentor's open times of the missed session's length (her usual one, if she no longer meets for so long) in the
    next three weeks; none while she is not to be booked."""
    mentor = await people.profile_in(conn, missed.mentor_id)
    rules = (await availability.rules_of(conn, [missed.mentor_id])).get(missed.mentor_id)
    if not mentor.published or rules is None or await conduct.restricted(conn, [missed.mentor_id], now):
        return []
    minutes = int((missed.end - missed.start).total_seconds()) // 60
    length = minutes if minutes in rules.lengths else None
    begin = open_times.ceil(now)
    found = await open_times.open_slots(
        conn, NoCache(), missed.mentor_id, begin, begin + int(AHEAD.total_seconds()), begin, length
    )
    return [_span(slot) for slot in found]


def _span(slot: Slot) -> Span:
    return Span(datetime.fromtimestamp(slot.start, UTC), datetime.fromtimestamp(slot.end, UTC))


async def offers_in(conn: Conn, missed: Booking, now: datetime) -> tuple[Span, ...]:
    """What the mentee is offered in the mail: open times at which he is free, too, as far as we know."""
    found = await times_in(conn, missed, now)
    if not found:
        return ()
    mentee = await people.user_in(conn, missed.mentee_id)
    span = (found[0].start, found[-1].end)
    taken = await bookings.in_the_way(conn, (mentee.id,), mentee.id, *span, timedelta(), None, now)
    busy = [Span(each.clash.start, each.clash.end) for each in taken]
    busy += [Span(each.start, each.end) for each in await availability.appointments(conn, [mentee.id], *span)]
    return choose(found, busy, ZoneInfo(mentee.timezone))
