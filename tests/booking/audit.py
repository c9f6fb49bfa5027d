"""An independent look into the database: what must be true of bookings, money, sessions and rooms, whoever did what.

Nothing here uses the product's own questions; each is asked of the tables, and answers with sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any, TypeAlias

from server.base.db import Conn

Rows: TypeAlias = Sequence[Any]  # of the tables, by column
ById: TypeAlias = Mapping[Any, Any]
LIVE = ("hold", "requested", "approved")
PAID = ("requested", "approved")


async def audit(conn: Conn, now: datetime) -> list[str]:
    """Everything that is wrong, in sentences."""
    bookings: Rows = await conn.fetch(
        "SELECT id, session_id, mentor_id, mentee_id, lower(during) AS start, upper(during) AS stop, status,"
        " price_tokens, seat_group, seat, expires_at FROM bookings"
    )
    sessions: dict[Any, Any] = {row["id"]: row for row in await conn.fetch("SELECT * FROM sessions")}
    return [
        *_overlaps([it for it in bookings if it["status"] in LIVE], now),
        *await _money(conn, bookings),
        *_published(bookings, sessions),
        *_rooms(bookings, sessions),
        *await _merges(conn, sessions),
    ]


def _overlaps(live: Rows, now: datetime) -> list[str]:
    """No two live bookings of a person at a time, but for different mentees' seats of one group at the same time."""
    by_person: dict[Any, list[Any]] = {}
    for it in live:
        if it["expires_at"] is None or it["expires_at"] > now:
            for person in (it["mentor_id"], it["mentee_id"]):
                by_person.setdefault(person, []).append(it)
    found = []
    for person, theirs in by_person.items():
        for one, other in combinations(theirs, 2):
            if one["start"] >= other["stop"] or other["start"] >= one["stop"]:
                continue
            together = (
                one["seat_group"] == other["seat_group"]
                and one["seat"] != other["seat"]
                and one["mentee_id"] != other["mentee_id"]
                and (one["start"], one["stop"]) == (other["start"], other["stop"])
            )
            if not together or person in (one["mentee_id"], other["mentee_id"]):
                found.append(f"{person} is in {one['id']} and {other['id']} at once")
    return found


async def _money(conn: Conn, bookings: Rows) -> list[str]:
    """Accounts are what went in less what went out and sum to nothing; every hold belongs to one booking, and is there
    exactly as long as that one is asked for or agreed."""
    accounts = {row["id"]: row for row in await conn.fetch("SELECT id, kind, balance FROM accounts")}
    sums = dict.fromkeys(accounts, 0)
    held: dict[Any, int] = {}
    holds: dict[Any, int] = {}
    for it in await conn.fetch(
        "SELECT kind, debit_account, credit_account, amount, session_id FROM transfers"
    ):
        sums[it["debit_account"]] -= it["amount"]
        sums[it["credit_account"]] += it["amount"]
        if it["session_id"] is not None:
            into = accounts[it["credit_account"]]["kind"] == "held"
            held[it["session_id"]] = held.get(it["session_id"], 0) + (it["amount"] if into else -it["amount"])
            holds[it["session_id"]] = holds.get(it["session_id"], 0) + into
    found = [
        f"account {key} ({row['kind']}) says {row['balance']}, its transfers {sums[key]}"
        for key, row in accounts.items()
        if row["balance"] != sums[key]
    ]
    if total := sum(row["balance"] for row in accounts.values()):
        found.append(f"the ledger sums to {total}")
    found += [
        f"account {key} is overdrawn"
        for key, row in accounts.items()
        if row["balance"] < 0 and row["kind"] != "issuance"
    ]
    known = {it["session_id"] for it in bookings}
    found += [f"money of {session_id}, which nobody booked" for session_id in held.keys() - known]
    found += [f"{session_id} is held {n} times" for session_id, n in holds.items() if n != 1]
    for it in bookings:
        due = it["price_tokens"] if it["status"] in PAID else 0
        if held.get(it["session_id"], 0) != due:
            found.append(
                f"booking {it['id']} ({it['status']}) holds {held.get(it['session_id'], 0)}, not {due}"
            )
    return found


def _published(bookings: Rows, sessions: ById) -> list[str]:
    """A session is scheduled exactly while its booking is agreed, for its people and at its time."""
    found = []
    for it in bookings:
        session = sessions.get(it["session_id"])
        scheduled = session is not None and session["status"] == "scheduled"
        if scheduled != (it["status"] == "approved"):
            found.append(f"booking {it['id']} is {it['status']}, its session {session and session['status']}")
        elif session is not None and scheduled:
            of = (session["mentor_id"], session["mentee_id"], session["starts_at"], session["ends_at"])
            if of != (it["mentor_id"], it["mentee_id"], it["start"], it["stop"]):
                found.append(f"session {session['id']} is not as it was booked")
    return found


def _rooms(bookings: Rows, sessions: ById) -> list[str]:
    """Who shares seats of one group at one time meets in one room, and nobody else does."""
    group_of = {it["session_id"]: it["seat_group"] for it in bookings}
    rooms: dict[Any, set[Any]] = {}
    groups: dict[Any, set[Any]] = {}
    found = []
    for session in sessions.values():
        if session["status"] != "scheduled":
            continue
        room = session["room_id"] or session["id"]
        where = (session["mentor_id"], session["starts_at"], session["ends_at"], group_of[session["id"]])
        rooms.setdefault(room, set()).add(where)
        groups.setdefault(where, set()).add(room)
        if room not in sessions or sessions[room]["room_id"] is not None:
            found.append(f"session {session['id']} meets in {room}, which is no room of its own")
        elif sessions[room]["status"] == "cancelled":
            found.append(f"session {session['id']} meets in the room of {room}, which was cancelled")
    found += [f"room {room} is of {len(wheres)} groups" for room, wheres in rooms.items() if len(wheres) > 1]
    found += [
        f"group {where[3]} meets in {len(them)} rooms" for where, them in groups.items() if len(them) > 1
    ]
    return found


async def _merges(conn: Conn, sessions: ById) -> list[str]:
    """Every line of the log has its fact, a merge has one room, and whoever has not moved since meets where the log
    says: together."""
    lines = await conn.fetch(
        "SELECT l.*, b.seat_group, lower(b.during) AS start FROM session_merge_log l"
        " JOIN bookings b ON b.session_id = l.session_id ORDER BY l.at, l.merge_id"
    )
    told = {
        (row["session_id"], row["merge_id"], row["kind"])
        for row in await conn.fetch(
            "SELECT session_id, data->>'merge_id' AS merge_id, kind FROM facts"
            " WHERE kind IN ('sessions_merged', 'sessions_unmerged')"
        )
    }
    found = []
    rooms: dict[Any, set[Any]] = {}
    last: dict[Any, Any] = {}
    for line in lines:
        if (line["session_id"], str(line["merge_id"]), f"sessions_{line['step']}") not in told:
            found.append(f"merge {line['merge_id']} of {line['session_id']} was never told")
        rooms.setdefault(line["merge_id"], set()).add(line["room_id"])
        last[line["session_id"]] = line
    found += [f"merge {merge_id} has {len(them)} rooms" for merge_id, them in rooms.items() if len(them) > 1]
    for session_id, line in last.items():
        root = sessions[line["room_id"]]
        still = str(line["seat_group"]) == line["after"]["seat_group"] and line[
            "start"
        ] == datetime.fromisoformat(line["after"]["start"])
        both = sessions[session_id]["status"] == root["status"] == "scheduled"
        if line["step"] == "merged" and still and both and root["starts_at"] == line["start"]:
            here, there = (of["room_id"] or of["id"] for of in (sessions[session_id], root))
            if here != there:
                found.append(f"{session_id} was merged into {root['id']} and does not meet there")
    return found
