"""Everything a database holds, counted: what was done once, by halves or twice shows in it."""

from __future__ import annotations

from collections import Counter

from server.base.db import Pool

_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    " AND NOT relispartition AND relname <> 'schema_migrations'"
    " AND relname !~ '^session_events_' ORDER BY 1"
)
# By what rows of a table are counted, besides how many there are.
_BY = {
    "bookings": ("status",),
    "conduct_steps": ("kind",),
    "confirmations": ("answer", "late"),
    "exported_transfers": ("line",),
    "fact_reactions": ("reaction", "error"),
    "facts": ("kind", "handled_at IS NOT NULL", "attempts"),
    "job_runs": ("job", "result", "rows_touched"),
    "notifications": ("kind", "channel", "role", "status", "attempts"),
    "provider_events": ("kind", "result", "handed_at IS NOT NULL"),
    "reminders": ("lead_seconds", "status"),
    "session_events": ("kind",),
    "sessions": ("status", "outcome"),
    "testimonials": ("status",),
    "transfers": ("kind", "amount"),
    "verdict_reviews": ("answer",),
    "verdicts": ("seq", "outcome"),
}
# Rows that count for many, and what they say how many.
_TOTALS = {"job_totals": ("job, result", "runs"), "reply_totals": ("result", "replies")}


async def census(pool: Pool) -> Counter[str]:
    """Rows by table, and of some tables by what they say; without the meeting log's partitions."""
    tables = [row["relname"] for row in await pool.fetch(_TABLES)]
    parts = [f"SELECT '{name}' AS what, count(*) AS n FROM {name}" for name in tables]
    parts += [
        f"SELECT concat_ws(' ', '{name}', {', '.join(columns)}), count(*) FROM {name} GROUP BY 1"
        for name, columns in _BY.items()
    ]
    parts += [
        f"SELECT concat_ws(' ', '{name}', {columns}), {number} FROM {name}"
        for name, (columns, number) in _TOTALS.items()
    ]
    return Counter({row["what"]: row["n"] for row in await pool.fetch(" UNION ALL ".join(parts)) if row["n"]})


def change(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """What has become more or less."""
    return {
        what: after[what] - before[what] for what in sorted(before | after) if after[what] != before[what]
    }
