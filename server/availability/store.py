"""Rules, booked times and directory cards in PostgreSQL: wall times as such, instants as Unix seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from server.availability.model import Availability, MentorCard, Window
from server.base.db import Conn

_RULES = (
    "timezone, slot_minutes, buffer_before_minutes, buffer_after_minutes, min_notice_minutes, booking_window_days,"
    " max_per_day"
)


async def replace(conn: Conn, mentor_id: UUID, rules: Availability, now: datetime) -> None:
    """Put these rules in the place of whatever there was."""
    await conn.execute(
        f"INSERT INTO availability (mentor_id, {_RULES}, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
        " ON CONFLICT (mentor_id) DO UPDATE SET timezone = excluded.timezone, slot_minutes = excluded.slot_minutes,"
        " buffer_before_minutes = excluded.buffer_before_minutes, buffer_after_minutes = excluded.buffer_after_minutes,"
        " min_notice_minutes = excluded.min_notice_minutes, booking_window_days = excluded.booking_window_days,"
        " max_per_day = excluded.max_per_day, updated_at = excluded.updated_at",
        mentor_id, rules.timezone, rules.slot_minutes, rules.buffer_before_minutes, rules.buffer_after_minutes,
        rules.min_notice_minutes, rules.booking_window_days, rules.max_per_day, now,
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
    for row in await conn.fetch(
        "SELECT mentor_id, weekday, start_minute, end_minute FROM availability_windows"
        " WHERE mentor_id = ANY($1::uuid[]) ORDER BY weekday, start_minute",
        mentors,
    ):
        weekly.setdefault(row["mentor_id"], []).append(
            (row["weekday"], Window(row["start_minute"], row["end_minute"]))
        )
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
            slot_minutes=row["slot_minutes"],
            buffer_before_minutes=row["buffer_before_minutes"],
            buffer_after_minutes=row["buffer_after_minutes"],
            min_notice_minutes=row["min_notice_minutes"],
            booking_window_days=row["booking_window_days"],
            max_per_day=row["max_per_day"],
        )
        for row in rows
    }


async def busy_of(
    conn: Conn, mentors: Sequence[UUID], frm: datetime, to: datetime, except_booking: UUID | None = None
) -> dict[UUID, list[tuple[int, int]]]:
    """The mentors' booked times that touch [frm, to), in Unix seconds; sessions of today count when settled, too."""
    rows = await conn.fetch(
        "SELECT mentor_id, extract(epoch FROM lower(during))::bigint AS start,"
        " extract(epoch FROM upper(during))::bigint AS stop FROM bookings"
        " WHERE mentor_id = ANY($1::uuid[]) AND status IN ('requested', 'approved', 'held')"
        " AND lower(during) < $3 AND upper(during) > $2 AND id IS DISTINCT FROM $4",
        mentors, frm, to, except_booking,
    )  # fmt: skip
    busy: dict[UUID, list[tuple[int, int]]] = {}
    for row in rows:
        busy.setdefault(row["mentor_id"], []).append((row["start"], row["stop"]))
    return busy


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
            rating=None,
            next_slot=None,
        )
        for row in rows
    ]
