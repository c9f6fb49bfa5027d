"""A booked session with its two people, as the messages about it need it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack
from uuid import UUID

from server.base.context import Context
from server.base.db import Conn
from server.base.errors import NotFound
from server.booking import store as bookings
from server.booking.model import Booking, Status
from server.integrations.channel import Button
from server.notifications import actions as notifications
from server.notifications.calendar import Method
from server.notifications.model import Attendee, Draft, Kind, Occasion
from server.notifications.reach import Reach
from server.people import store as people
from server.people.model import User
from server.sessions.links import Action, links_for

BOTH = ("mentor", "mentee")


class _Links(Mapping[str, str]):
    """What a person can do about a booking, by action. The texts ask for each by name: what cannot be done (any longer)
    is an empty one."""

    def __init__(self, can: Mapping[str, str]) -> None:
        self._can = can

    def __getitem__(self, name: str) -> str:
        return self._can.get(Action(name).value, "")

    def __iter__(self) -> Iterator[str]:
        return iter(Action)

    def __len__(self) -> int:
        return len(Action)


class How(TypedDict, total=False):
    """What a message about a meeting may have on top; see `notifications.session_drafts`. From ``expires_at`` on it is
    of no use."""

    template: str | None
    method: Method | None
    values: Mapping[str, Any]
    buttons: Sequence[Button]
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Meeting:
    """``people`` by role."""

    status: Status
    people: Mapping[str, User]
    occasion: Occasion
    booking: Booking

    def drafts(
        self,
        ctx: Context,
        reaches: Mapping[UUID, Reach],
        role: str,
        kind: Kind,
        dedup_key: str,
        **how: Unpack[How],
    ) -> list[Draft]:
        """The message to one of them, for `notifications.post_in`."""
        person = self.people[role]
        links = _Links(links_for(ctx.settings, self.booking, person.id, ctx.clock.now()))
        how["values"] = {"links": links, **how.get("values", {})}
        return notifications.session_drafts(
            ctx, reaches[person.id], kind=kind, recipient=person, role=role, occasion=self.occasion,
            dedup_key=dedup_key, **how,
        )  # fmt: skip

    async def tell(
        self,
        conn: Conn,
        ctx: Context,
        roles: tuple[str, ...],
        kind: Kind,
        dedup_key: str,
        **how: Unpack[How],
    ) -> int:
        """Write the message to each role, in the caller's transaction; returns how many had not been told yet."""
        reaches = await notifications.reaches_in(conn, [self.people[role] for role in roles])
        written = [
            draft for role in roles for draft in self.drafts(ctx, reaches, role, kind, dedup_key, **how)
        ]
        return await notifications.post_in(conn, ctx, written)


async def load_meeting(conn: Conn, ctx: Context, session_id: UUID, *, reason: str = "") -> Meeting:
    """The meeting as it stands now. Raises ``NotFound("session_not_found")``."""
    found = await load_meetings(conn, ctx, [session_id], reason=reason)
    if session_id not in found:
        raise NotFound("session_not_found", "There is no such session.")
    return found[session_id]


async def load_meetings(
    conn: Conn, ctx: Context, sessions: Collection[UUID], *, reason: str = ""
) -> dict[UUID, Meeting]:
    """The meetings as they stand now, by session; without those there are not."""
    booked = await bookings.of_sessions(conn, sessions)
    both = {person for it in booked.values() for person in (it.mentor_id, it.mentee_id)}
    users = await people.users(conn, both)
    return {
        session_id: _meeting(ctx, it, users[it.mentor_id], users[it.mentee_id], reason)
        for session_id, it in booked.items()
    }


def _meeting(ctx: Context, booked: Booking, mentor: User, mentee: User, reason: str) -> Meeting:
    occasion = Occasion(
        session_id=booked.session_id,
        start=booked.start,
        end=booked.end,
        mentor=Attendee(mentor.name, mentor.email),
        mentee=Attendee(mentee.name, mentee.email),
        topic=booked.topic,
        note=booked.note,
        price_tokens=booked.price_tokens,
        revision=booked.revision,
        confirmed=booked.status in (Status.APPROVED, Status.HELD),
        reason=reason,
        url=f"{ctx.settings.public_url}/sessions/{booked.session_id}",
        booking_url=f"{ctx.settings.public_url}/bookings/{booked.id}",
    )
    return Meeting(booked.status, {"mentor": mentor, "mentee": mentee}, occasion, booked)


async def load_person(conn: Conn, user_id: UUID) -> User:
    """Raises ``NotFound("user_not_found")``."""
    person = await people.user(conn, user_id)
    if person is None:
        raise NotFound("user_not_found", "There is no such person.")
    return person
