"""Connected calendars, what is to be written to them, and feeds in PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server.base.db import Conn, Row
from server.calendars.model import Connection, ConnectionStatus, Provider, Task
from server.integrations.calendars.protocol import Channel, Written

_COLUMNS = (
    "id, user_id, provider, account, status, credentials, cursor, span_until, synced_at, attempts, error,"
    " channel_id, channel_resource, channel_expires_at, channel_tried_at, created_at"
)


def _connection(row: Row) -> Connection:
    channel = row["channel_id"]
    return Connection(
        id=row["id"],
        user_id=row["user_id"],
        provider=Provider(row["provider"]),
        account=row["account"],
        status=ConnectionStatus(row["status"]),
        sealed=row["credentials"],
        cursor=row["cursor"],
        span_until=row["span_until"],
        synced_at=row["synced_at"],
        attempts=row["attempts"],
        error=row["error"],
        channel=channel and Channel(str(channel), row["channel_resource"], row["channel_expires_at"]),
        channel_tried_at=row["channel_tried_at"],
        created_at=row["created_at"],
    )


# ---------------------------------------------------------------- connections


async def identity_of(conn: Conn, user_id: UUID, provider: str, account: str) -> UUID | None:
    """The connection of this account, whatever its state."""
    found: UUID | None = await conn.fetchval(
        "SELECT id FROM calendar_connections WHERE user_id = $1 AND provider = $2 AND account = $3",
        user_id, provider, account,
    )  # fmt: skip
    return found


async def connect(
    conn: Conn,
    connection_id: UUID,
    user_id: UUID,
    provider: str,
    account: str,
    sealed: bytes,
    now: datetime,
) -> None:
    """A new connection, or the old one given new life; it is looked at at once."""
    await conn.execute(
        "INSERT INTO calendar_connections (id, user_id, provider, account, status, credentials, due_at, created_at,"
        " updated_at) VALUES ($1, $2, $3, $4, 'active', $5, $6, $6, $6)"
        " ON CONFLICT (user_id, provider, account) DO UPDATE SET status = 'active', credentials = $5, cursor = NULL,"
        " due_at = $6, lease_until = NULL, attempts = 0, error = NULL, channel_tried_at = NULL, updated_at = $6",
        connection_id, user_id, provider, account, sealed, now,
    )  # fmt: skip


async def of_person(conn: Conn, user_id: UUID) -> list[Connection]:
    """Those that are not on their way out, oldest first."""
    rows = await conn.fetch(
        f"SELECT {_COLUMNS} FROM calendar_connections WHERE user_id = $1 AND status <> 'leaving' ORDER BY id",
        user_id,
    )
    return [_connection(row) for row in rows]


async def zone_of(conn: Conn, user_id: UUID) -> str:
    """The person's IANA time zone."""
    zone: str = await conn.fetchval("SELECT timezone FROM users WHERE id = $1", user_id)
    return zone


async def locked(conn: Conn, connection_id: UUID) -> Connection | None:
    row = await conn.fetchrow(
        f"SELECT {_COLUMNS} FROM calendar_connections WHERE id = $1 FOR UPDATE", connection_id
    )
    return _connection(row) if row else None


async def set_status(
    conn: Conn,
    connection_id: UUID,
    status: ConnectionStatus,
    error: str | None,
    due_at: datetime | None,
    now: datetime,
) -> None:
    await conn.execute(
        "UPDATE calendar_connections SET status = $2, error = $3, due_at = $4, attempts = 0, updated_at = $5"
        " WHERE id = $1",
        connection_id, status, error, due_at, now,
    )  # fmt: skip


async def keep_credentials(conn: Conn, connection_id: UUID, lease_until: datetime, sealed: bytes) -> None:
    """Unless the connection has been given others meanwhile, which ends the lease."""
    await conn.execute(
        "UPDATE calendar_connections SET credentials = $3 WHERE id = $1 AND lease_until = $2",
        connection_id, lease_until, sealed,
    )  # fmt: skip


async def rewire(conn: Conn, connection_id: UUID, sealed: bytes, now: datetime) -> None:
    """Other credentials for the same calendars; a worker that is at it with the old ones is not listened to."""
    await conn.execute(
        "UPDATE calendar_connections SET credentials = $2, lease_until = NULL, due_at = $3, updated_at = $3"
        " WHERE id = $1",
        connection_id, sealed, now,
    )  # fmt: skip


async def forget(conn: Conn, connection_id: UUID) -> None:
    """Unless it was connected again meanwhile."""
    await conn.execute("DELETE FROM calendar_connections WHERE id = $1 AND status = 'leaving'", connection_id)


# ---------------------------------------------------------------- who looks at which one when


async def anything_due(conn: Conn, now: datetime) -> bool:
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM calendar_connections WHERE due_at <= $1 AND lease_until IS NULL)"
        " OR EXISTS (SELECT FROM calendar_connections WHERE lease_until <= $1)",
        now,
    )
    return found


async def claim(conn: Conn, now: datetime, lease_until: datetime) -> Connection | None:
    """Take the lease of the connection that has been due longest. What becomes due meanwhile is noted for later."""
    row = await conn.fetchrow(
        "UPDATE calendar_connections SET due_at = NULL, lease_until = $2 WHERE id = ("
        " SELECT id FROM calendar_connections"
        " WHERE lease_until <= $1 OR (lease_until IS NULL AND due_at <= $1)"
        " ORDER BY coalesce(due_at, lease_until) LIMIT 1 FOR UPDATE SKIP LOCKED)"
        f" RETURNING {_COLUMNS}",
        now, lease_until,
    )  # fmt: skip
    return _connection(row) if row else None


async def release(
    conn: Conn, connection_id: UUID, lease_until: datetime, next_look: datetime | None, error: str | None
) -> None:
    """End the lease, if it is still ours; with an ``error`` it counts as a failed attempt."""
    await conn.execute(
        "UPDATE calendar_connections SET lease_until = NULL, due_at = least(due_at, $3), error = $4,"
        " attempts = CASE WHEN $4::text IS NULL THEN 0 ELSE attempts + 1 END"
        " WHERE id = $1 AND lease_until = $2",
        connection_id, lease_until, next_look, error,
    )  # fmt: skip


async def leased(conn: Conn, connection_id: UUID, lease_until: datetime) -> bool:
    """Whether the lease is still ours."""
    found: bool = await conn.fetchval(
        "SELECT EXISTS (SELECT FROM calendar_connections WHERE id = $1 AND lease_until = $2)",
        connection_id, lease_until,
    )  # fmt: skip
    return found


async def make_channel_due(conn: Conn, channel_id: UUID, now: datetime) -> bool:
    """The calendar behind the channel has news; False when the channel is nobody's."""
    tag = await conn.execute(
        "UPDATE calendar_connections SET due_at = least(due_at, $2)"
        " WHERE channel_id = $1 AND status = 'active'",
        channel_id, now,
    )  # fmt: skip
    return tag != "UPDATE 0"


async def make_neglected_due(
    conn: Conn, now: datetime, expiring_before: datetime, unseen_since: datetime, unwatched_since: datetime
) -> int:
    """Those whose channel ends soon, and those nobody has looked at for long: the safety net. How many."""
    tag = await conn.execute(
        "UPDATE calendar_connections SET due_at = least(due_at, $1)"
        " WHERE status = 'active' AND lease_until IS NULL AND (due_at IS NULL OR due_at > $1) AND attempts = 0"
        " AND (channel_expires_at <= $2 OR synced_at IS NULL OR synced_at <= $3"
        " OR (channel_expires_at IS NULL AND synced_at <= $4))",
        now, expiring_before, unseen_since, unwatched_since,
    )  # fmt: skip
    return int(tag.rpartition(" ")[2])


async def set_channel(conn: Conn, connection_id: UUID, channel: Channel | None, now: datetime) -> None:
    await conn.execute(
        "UPDATE calendar_connections SET channel_id = $2, channel_resource = $3, channel_expires_at = $4,"
        " channel_tried_at = $5 WHERE id = $1",
        connection_id, channel and UUID(channel.id), channel and channel.resource, channel and channel.expires_at, now,
    )  # fmt: skip


async def seen(
    conn: Conn, connection_id: UUID, before: str | None, cursor: str, span_until: datetime, now: datetime
) -> bool:
    """Continue from ``cursor``; False when the connection is no longer where the reading began."""
    tag = await conn.execute(
        "UPDATE calendar_connections SET cursor = $3, span_until = $4, synced_at = $5"
        " WHERE id = $1 AND status = 'active' AND cursor IS NOT DISTINCT FROM $2",
        connection_id, before, cursor, span_until, now,
    )  # fmt: skip
    return tag != "UPDATE 0"


async def lose_cursor(conn: Conn, connection_id: UUID) -> None:
    await conn.execute("UPDATE calendar_connections SET cursor = NULL WHERE id = $1", connection_id)


# ---------------------------------------------------------------- what is to be written


async def want(conn: Conn, session_id: UUID, now: datetime) -> int:
    """Note in every connected calendar of both people how the session stands; returns in how many there is work.

    A session that is not to be there, and of which we wrote nothing there, is none of the calendar's business.
    """
    tag = await conn.execute(
        "WITH work AS (INSERT INTO calendar_events AS e (connection_id, session_id, wanted, present)"
        " SELECT c.id, b.session_id, max(b.revision), bool_or(b.status IN ('approved', 'held'))"
        " FROM bookings b JOIN calendar_connections c ON c.user_id IN (b.mentor_id, b.mentee_id)"
        " WHERE b.session_id = $1 AND c.status <> 'leaving' GROUP BY c.id, b.session_id"
        " HAVING bool_or(b.status IN ('approved', 'held'))"
        "  OR EXISTS (SELECT FROM calendar_events o WHERE o.connection_id = c.id AND o.session_id = b.session_id)"
        " ON CONFLICT (connection_id, session_id) DO UPDATE SET wanted = excluded.wanted, present = excluded.present,"
        "  done = false, error = NULL WHERE (e.wanted, e.present) IS DISTINCT FROM (excluded.wanted, excluded.present)"
        " RETURNING connection_id)"
        " UPDATE calendar_connections SET due_at = least(due_at, $2) FROM work"
        " WHERE id = work.connection_id AND status = 'active'",
        session_id, now,
    )  # fmt: skip
    return int(tag.rpartition(" ")[2])


async def want_all(conn: Conn, connection_id: UUID, user_id: UUID, now: datetime) -> None:
    """A calendar is connected (again): everything ahead is to be there, and written once more."""
    await conn.execute(
        "INSERT INTO calendar_events AS e (connection_id, session_id, wanted, present)"
        " SELECT $1, session_id, max(revision), true FROM bookings"
        " WHERE (mentor_id = $2 OR mentee_id = $2) AND status = 'approved' AND upper(during) > $3 GROUP BY session_id"
        " ON CONFLICT (connection_id, session_id) DO UPDATE SET wanted = excluded.wanted, present = true,"
        " done = false, error = NULL",
        connection_id, user_id, now,
    )  # fmt: skip


async def tasks(conn: Conn, connection_id: UUID, now: datetime, limit: int) -> list[Task]:
    """What is not yet as it should be, soonest session first; what is over is left as it is."""
    rows = await conn.fetch(
        'SELECT e.session_id, e.wanted, e.present, e.ref, e.etag, lower(b.during) AS start, upper(b.during) AS "end",'
        " b.topic, other.name AS other FROM calendar_events e"
        " JOIN calendar_connections c ON c.id = e.connection_id"
        " JOIN LATERAL (SELECT * FROM bookings WHERE session_id = e.session_id AND c.user_id IN (mentor_id, mentee_id)"
        "  ORDER BY status IN ('approved', 'held') DESC, id LIMIT 1) b ON true"
        " JOIN users other ON other.id = CASE WHEN c.user_id = b.mentor_id THEN b.mentee_id ELSE b.mentor_id END"
        " WHERE e.connection_id = $1 AND NOT e.done AND upper(b.during) > $2 ORDER BY lower(b.during), b.id LIMIT $3",
        connection_id, now, limit,
    )  # fmt: skip
    return [
        Task(
            session_id=row["session_id"],
            wanted=row["wanted"],
            present=row["present"],
            event=Written(row["ref"], row["etag"]) if row["ref"] is not None else None,
            start=row["start"],
            end=row["end"],
            topic=row["topic"],
            other=row["other"],
        )
        for row in rows
    ]


async def refs(conn: Conn, connection_id: UUID) -> set[str]:
    """What the calendar calls the events that we wrote there."""
    rows = await conn.fetch(
        "SELECT ref FROM calendar_events WHERE connection_id = $1 AND ref IS NOT NULL", connection_id
    )
    return {row["ref"] for row in rows}


async def written(
    conn: Conn,
    connection_id: UUID,
    lease_until: datetime,
    task: Task,
    event: Written | None,
    error: str | None = None,
) -> None:
    """The event is now there as ``event`` (None: it is not); done, unless something else is wanted by now, or
    somewhere else, which ends the lease."""
    await conn.execute(
        "UPDATE calendar_events SET ref = $3, etag = $4, error = $7, done = (wanted = $5 AND present = $6"
        " AND EXISTS (SELECT FROM calendar_connections WHERE id = $1 AND lease_until = $8))"
        " WHERE connection_id = $1 AND session_id = $2",
        connection_id, task.session_id, event and event.ref, event and event.etag, task.wanted, task.present, error,
        lease_until,
    )  # fmt: skip


# ---------------------------------------------------------------- consent and back


async def insert_handshake(
    conn: Conn, state_hash: bytes, user_id: UUID, provider: str, verifier: bytes, expires_at: datetime
) -> None:
    await conn.execute(
        "INSERT INTO calendar_handshakes (state_hash, user_id, provider, verifier, expires_at)"
        " VALUES ($1, $2, $3, $4, $5)",
        state_hash, user_id, provider, verifier, expires_at,
    )  # fmt: skip


async def take_handshake(
    conn: Conn, state_hash: bytes, user_id: UUID, provider: str, now: datetime
) -> bytes | None:
    """The sealed verifier of this person's handshake, once; also clears away what has run out."""
    await conn.execute("DELETE FROM calendar_handshakes WHERE expires_at <= $1", now)
    verifier: bytes | None = await conn.fetchval(
        "DELETE FROM calendar_handshakes WHERE state_hash = $1 AND user_id = $2 AND provider = $3 RETURNING verifier",
        state_hash, user_id, provider,
    )  # fmt: skip
    return verifier


# ---------------------------------------------------------------- the feed


@dataclass(frozen=True, slots=True)
class FeedSession:
    """A booked session as its feed lists it."""

    session_id: UUID
    booking_id: UUID
    start: datetime
    end: datetime
    status: str
    topic: str
    revision: int
    updated_at: datetime
    other: str


async def generation(conn: Conn, user_id: UUID) -> int:
    """Of the person's feed: 0 until it is renewed for the first time."""
    found: int | None = await conn.fetchval(
        "SELECT generation FROM calendar_feeds WHERE user_id = $1", user_id
    )
    return found or 0


async def next_generation(conn: Conn, user_id: UUID) -> int:
    generation: int = await conn.fetchval(
        "INSERT INTO calendar_feeds AS f (user_id, generation) VALUES ($1, 1)"
        " ON CONFLICT (user_id) DO UPDATE SET generation = f.generation + 1 RETURNING generation",
        user_id,
    )
    return generation


async def feed_sessions(conn: Conn, user_id: UUID, since: datetime, limit: int) -> list[FeedSession]:
    """The person's approved and held sessions that ended after ``since``, and requests that wait; nobody's when the
    account is disabled."""
    rows = await conn.fetch(
        'SELECT b.session_id, b.id AS booking_id, lower(b.during) AS start, upper(b.during) AS "end", b.status,'
        " b.topic, b.revision, b.updated_at, other.name AS other FROM bookings b JOIN users u ON u.id = $1"
        " JOIN users other ON other.id = CASE WHEN b.mentor_id = $1 THEN b.mentee_id ELSE b.mentor_id END"
        " WHERE (b.mentor_id = $1 OR b.mentee_id = $1) AND b.status IN ('requested', 'approved', 'held')"
        " AND upper(b.during) > $2 AND u.disabled_at IS NULL ORDER BY lower(b.during) DESC, b.id LIMIT $3",
        user_id, since, limit,
    )  # fmt: skip
    return [FeedSession(**row) for row in rows]
