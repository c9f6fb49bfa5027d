"""The steps that followed from no-shows, and the no-shows themselves, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.base.ids import new_id
from server.conduct.model import Miss, Next, Step, StepKind

_STEP = "id, person_id, kind, session_id, sessions, until, about, actor_id, words, at"
_ENDED = (
    "EXISTS (SELECT FROM conduct_steps e WHERE e.about = r.id AND e.kind IN ('lifted', 'appeal_accepted'))"
)
_OPEN = (
    "EXISTS (SELECT FROM conduct_steps a WHERE a.about = r.id AND a.kind = 'appealed') AND NOT EXISTS"
    " (SELECT FROM conduct_steps a WHERE a.about = r.id AND a.kind IN ('appeal_accepted', 'appeal_rejected'))"
)


def _step(row: Row) -> Step:
    return Step(**{**row, "kind": StepKind(row["kind"]), "sessions": tuple(row["sessions"])})


async def misses_of(conn: Conn, person_id: UUID, since: datetime) -> list[Miss]:
    """By the verdicts as they stand; on whichever side."""
    rows = await conn.fetch(
        "SELECT id, starts_at FROM sessions WHERE mentor_id = $1 AND outcome = 'mentor_no_show' AND starts_at > $2"
        " UNION ALL"
        " SELECT id, starts_at FROM sessions WHERE mentee_id = $1 AND outcome = 'mentee_no_show' AND starts_at > $2",
        person_id, since,
    )  # fmt: skip
    return [Miss(row["starts_at"], row["id"]) for row in rows]


async def steps_of(conn: Conn, person_id: UUID) -> list[Step]:
    """In the order in which they were taken."""
    rows = await conn.fetch(f"SELECT {_STEP} FROM conduct_steps WHERE person_id = $1 ORDER BY seq", person_id)
    return [_step(row) for row in rows]


async def step(conn: Conn, step_id: UUID) -> Step | None:
    row = await conn.fetchrow(f"SELECT {_STEP} FROM conduct_steps WHERE id = $1", step_id)
    return _step(row) if row else None


async def add(conn: Conn, person_id: UUID, taken: Next, actor_id: UUID | None, now: datetime) -> UUID:
    identity = new_id()
    await conn.execute(
        f"INSERT INTO conduct_steps ({_STEP}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        identity, person_id, taken.kind, taken.session_id, list(taken.sessions), taken.until, taken.about, actor_id,
        taken.words, now,
    )  # fmt: skip
    return identity


async def restricted(conn: Conn, people: Sequence[UUID], now: datetime) -> dict[UUID, datetime]:
    """Who of them may neither book nor be booked, and until when."""
    rows = await conn.fetch(
        "SELECT r.person_id, max(r.until) AS until FROM conduct_steps r WHERE r.kind = 'restricted' AND r.until > $2"
        f" AND r.person_id = ANY($1::uuid[]) AND NOT {_ENDED} GROUP BY r.person_id",
        list(people), now,
    )  # fmt: skip
    return {row["person_id"]: row["until"] for row in rows}


@dataclass(frozen=True, slots=True)
class Found:
    """A restriction as the administrators' queue lists it."""

    restriction: Step
    name: str
    role: str
    appeal: str  # its words; empty without an open one
    appealed_at: datetime | None


async def cases(
    conn: Conn, now: datetime, *, appeals: bool, after: tuple[datetime, UUID] | None, limit: int
) -> list[Found]:
    """Restrictions with an open appeal, also when they ended meanwhile, or all that hold; by their ends."""
    only = _OPEN if appeals else f"r.until > $1 AND NOT {_ENDED}"
    rows = await conn.fetch(
        "SELECT r.id, r.person_id, r.kind, r.session_id, r.sessions, r.until, r.about, r.actor_id, r.words, r.at,"
        f" u.name, u.role, coalesce(w.words, '') AS appeal, w.at AS appealed_at FROM conduct_steps r"
        " JOIN users u ON u.id = r.person_id"
        f" LEFT JOIN conduct_steps w ON w.about = r.id AND w.kind = 'appealed' AND ({_OPEN})"
        f" WHERE r.kind = 'restricted' AND $1::timestamptz IS NOT NULL AND {only}"
        " AND ($2::timestamptz IS NULL OR (r.until, r.id) > ($2, $3::uuid)) ORDER BY r.until, r.id LIMIT $4",
        now, after and after[0], after and after[1], limit,
    )  # fmt: skip
    return [
        Found(
            _step({name: row[name] for name in _STEP.split(", ")}),  # type: ignore[arg-type]
            row["name"],
            row["role"],
            row["appeal"],
            row["appealed_at"],
        )
        for row in rows
    ]
