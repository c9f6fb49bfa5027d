"""Rules, booked times and directory cards in PostgreSQL: wall times as such, instants as Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from server.availability.model import (
    NUMBERS,
    Absence,
    Availability,
    HolidayCalendar,
    MentorCard,
    Travel,
    Window,
)
from server.base.db import Conn, Row

_COLUMNS = (*NUMBERS, "lengths_minutes")
_RULES = ", ".join(("timezone", *_COLUMNS, "holiday_country", "holiday_subdivision", "travel", "absences"))


async def replace(conn: Conn, mentor_id: UUID, rules: Availability, now: datetime) -> None:
    """Put these rules in the place of whatever there was."""
    calendar = rules.holidays
    values = [
        rules.timezone,
        *(getattr(rules, name) for name in _COLUMNS),
        calendar and calendar.country,
        calendar and calendar.subdivision,
        [[span.first.isoformat(), span.last.isoformat(), span.timezone] for span in rules.travel],
        [[absence.start.isoformat(), absence.end.isoformat(), absence.reason] for absence in rules.absences],
    ]
    places = ", ".join(f"${number}" for number in range(3, 3 + len(values)))
    updates = ", ".join(f"{name} = excluded.{name}" for name in (*_RULES.split(", "), "updated_at"))
    await conn.execute(
        f"INSERT INTO availability (mentor_id, updated_at, {_RULES}) VALUES ($1, $2, {places})"
        f" ON CONFLICT (mentor_id) DO UPDATE SET {updates}",
        mentor_id, now, *values,
    )  # fmt: skip
    await conn.execute("DELETE FROM availability_windows WHERE mentor_id = $1", mentor_id)
    await conn.executemany(
        "INSERT INTO availability_windows (mentor_id, weekday, start_minute, end_minute) VALUES ($1, $2, $3, $4)",
        [(mentor_id, weekday, window.start, window.end) for weekday, window in rules.weekly],
    )
    await conn.execute("DELETE FROM availability_overrides WHERE mentor_id = $1", mentor_id)
    await conn.executemany(
        "INSERT INTO availability_overrides (mentor_id, on_date, windows) VALUES ($1, $2, $3)",
        [(mentor_id, day, [list(window) for window in windows]) for day, windows in rules.overrides],
    )


async def rules_of(conn: Conn, mentors: Sequence[UUID]) -> dict[UUID, Availability]:
    """The rules of those mentors who have set any."""
    weekly: dict[UUID, list[tuple[int, Window]]] = {}
    # A row for each mentor, not for each window: the directory asks for a thousand mentors at once.
    for row in await conn.fetch(
        "SELECT mentor_id, array_agg(weekday ORDER BY weekday, start_minute) AS days,"
        " array_agg(start_minute ORDER BY weekday, start_minute) AS starts,"
        " array_agg(end_minute ORDER BY weekday, start_minute) AS ends"
        " FROM availability_windows WHERE mentor_id = ANY($1::uuid[]) GROUP BY mentor_id",
        mentors,
    ):
        weekly[row["mentor_id"]] = [
            (day, Window(start, end))
            for day, start, end in zip(row["days"], row["starts"], row["ends"], strict=True)
        ]
    overrides: dict[UUID, list[tuple[date, tuple[Window, ...]]]] = {}
    for row in await conn.fetch(
        "SELECT mentor_id, on_date, windows FROM availability_overrides"
        " WHERE mentor_id = ANY($1::uuid[]) ORDER BY on_date",
        mentors,
    ):
        windows = tuple(Window(start, end) for start, end in row["windows"])
        overrides.setdefault(row["mentor_id"], []).append((row["on_date"], windows))
    rows = await conn.fetch(
        f"SELECT mentor_id, {_RULES} FROM availability WHERE mentor_id = ANY($1::uuid[])", mentors
    )
    return {
        row["mentor_id"]: Availability(
            timezone=row["timezone"],
            weekly=tuple(weekly.get(row["mentor_id"], ())),
            overrides=tuple(overrides.get(row["mentor_id"], ())),
            lengths_minutes=tuple(row["lengths_minutes"]),
            holidays=_calendar(row),
            travel=tuple(
                Travel(date.fromisoformat(first), date.fromisoformat(last), zone)
                for first, last, zone in row["travel"]
            ),
            absences=tuple(
                Absence(datetime.fromisoformat(start), datetime.fromisoformat(end), reason)
                for start, end, reason in row["absences"]
            ),
            **{name: row[name] for name in NUMBERS},
        )
        for row in rows
    }


def _calendar(row: Row) -> HolidayCalendar | None:
    country = row["holiday_country"]
    return None if country is None else HolidayCalendar(country, row["holiday_subdivision"])


class Booked(NamedTuple):
    """A booked time [start, end) in Unix seconds, once however many share it; ``seats`` of it are taken, None: it was
    settled, nobody joins it any more."""

    start: int
    end: int
    seats: int | None


async def busy_of(
    conn: Conn, mentors: Sequence[UUID], frm: datetime, to: datetime, except_booking: UUID | None = None
) -> dict[UUID, list[Booked]]:
    """The mentors' booked times that touch [frm, to); sessions of today count when settled, too."""
    rows = await conn.fetch(
        "SELECT mentor_id, extract(epoch FROM lower(during))::bigint AS start,"
        " extract(epoch FROM upper(during))::bigint AS stop,"
        " CASE WHEN bool_or(status = 'held') THEN NULL ELSE count(*) END AS seats FROM bookings"
        " WHERE mentor_id = ANY($1::uuid[]) AND status IN ('hold', 'requested', 'approved', 'held')"
        " AND lower(during) < $3 AND upper(during) > $2 AND id IS DISTINCT FROM $4"
        " GROUP BY mentor_id, seat_group, during",
        mentors, frm, to, except_booking,
    )  # fmt: skip
    found: dict[UUID, list[Booked]] = {}
    for row in rows:
        found.setdefault(row["mentor_id"], []).append(Booked(row["start"], row["stop"], row["seats"]))
    return found


async def capacity_of(conn: Conn, mentor_id: UUID) -> int:
    """The seats of the mentor's sessions."""
    seats = await conn.fetchval("SELECT capacity FROM availability WHERE mentor_id = $1", mentor_id)
    return seats or 1


async def external_of(
    conn: Conn, people: Sequence[UUID], frm: datetime, to: datetime
) -> dict[UUID, list[tuple[int, int]]]:
    """The busy times of people's other calendars that touch [frm, to), in Unix seconds."""
    rows = await conn.fetch(
        "SELECT user_id, floor(extract(epoch FROM lower(during)))::bigint AS start,"
        " ceil(extract(epoch FROM upper(during)))::bigint AS stop FROM external_busy"
        " WHERE user_id = ANY($1::uuid[]) AND during && tstzrange($2, $3, '[)')",
        people, frm, to,
    )  # fmt: skip
    return _spans(rows, "user_id")


@dataclass(frozen=True, slots=True)
class Appointment:
    """A busy time of somebody's other calendar."""

    user_id: UUID
    id: str
    start: datetime
    end: datetime
    title: str


async def appointments(conn: Conn, people: Sequence[UUID], frm: datetime, to: datetime) -> list[Appointment]:
    """Those that touch [frm, to), in order."""
    rows = await conn.fetch(
        "SELECT user_id, source, external_id, lower(during) AS start, upper(during) AS stop, title FROM external_busy"
        " WHERE user_id = ANY($1::uuid[]) AND during && tstzrange($2, $3, '[)') ORDER BY lower(during), external_id",
        people, frm, to,
    )  # fmt: skip
    return [
        Appointment(
            row["user_id"], f"{row['source']}:{row['external_id']}", row["start"], row["stop"], row["title"]
        )
        for row in rows
    ]


async def replace_appointments(conn: Conn, source: str, user_id: UUID, found: Sequence[Appointment]) -> None:
    """Put what a calendar says in the place of what it said before. ``id`` is the calendar's own here."""
    await conn.execute("DELETE FROM external_busy WHERE user_id = $1 AND source = $2", user_id, source)
    await _insert_appointments(conn, source, user_id, found)


async def amend_appointments(
    conn: Conn, source: str, user_id: UUID, found: Sequence[Appointment], gone: Sequence[str]
) -> None:
    """What a calendar says has changed since we asked last: new or different ones, and the ids of those that ended."""
    await conn.execute(
        "DELETE FROM external_busy WHERE user_id = $1 AND source = $2 AND external_id = ANY($3::text[])",
        user_id, source, [*gone, *(each.id for each in found)],
    )  # fmt: skip
    await _insert_appointments(conn, source, user_id, found)


async def _insert_appointments(conn: Conn, source: str, user_id: UUID, found: Sequence[Appointment]) -> None:
    await conn.executemany(
        "INSERT INTO external_busy (user_id, source, external_id, during, title)"
        " VALUES ($1, $2, $3, tstzrange($4, $5, '[)'), $6)",
        [(user_id, source, each.id, each.start, each.end, each.title) for each in found],
    )


def _spans(rows: Sequence[Row], owner: str) -> dict[UUID, list[tuple[int, int]]]:
    spans: dict[UUID, list[tuple[int, int]]] = {}
    for row in rows:
        spans.setdefault(row[owner], []).append((row["start"], row["stop"]))
    return spans


async def versions(conn: Conn, mentors: Sequence[UUID]) -> dict[UUID, int]:
    """What rises whenever their open slots may have changed."""
    rows = await conn.fetch(
        "SELECT mentor_id, version FROM calendar_versions WHERE mentor_id = ANY($1::uuid[])", mentors
    )
    return {row["mentor_id"]: row["version"] for row in rows}


@dataclass(frozen=True, slots=True)
class Search:
    q: str | None
    topic: str | None
    language: str | None
    max_price: int | None


def _pattern(text: str | None) -> str | None:
    """For ILIKE: anywhere, with the wildcards taken literally."""
    if text is None or not text.strip():
        return None
    escaped = text.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


async def cards(conn: Conn, search: Search, after: tuple[str, UUID] | None, limit: int) -> list[MentorCard]:
    """Published mentors by (name, id), without their next slot."""
    rows = await conn.fetch(
        "SELECT u.id, u.name, u.timezone, p.headline, p.topics, p.languages, p.price_tokens"
        " FROM mentor_profiles p JOIN users u ON u.id = p.user_id"
        " WHERE p.published AND u.disabled_at IS NULL"
        " AND ($1::text IS NULL OR u.name ILIKE $1 OR p.headline ILIKE $1 OR p.bio ILIKE $1"
        " OR EXISTS (SELECT FROM unnest(p.topics) t WHERE t ILIKE $1))"
        " AND ($2::text IS NULL OR EXISTS (SELECT FROM unnest(p.topics) t WHERE lower(t) = lower($2)))"
        " AND ($3::text IS NULL OR lower($3) = ANY(p.languages))"
        " AND ($4::integer IS NULL OR p.price_tokens <= $4)"
        " AND ($5::text IS NULL OR (u.name, u.id) > ($5, $6::uuid))"
        " ORDER BY u.name, u.id LIMIT $7",
        _pattern(search.q), search.topic or None, search.language or None, search.max_price,
        after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [
        MentorCard(
            id=row["id"],
            name=row["name"],
            headline=row["headline"],
            topics=tuple(row["topics"]),
            languages=tuple(row["languages"]),
            timezone=row["timezone"],
            price_tokens=row["price_tokens"],
            next_slot=None,
        )
        for row in rows
    ]
