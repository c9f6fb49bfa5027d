"""A booked session with its two people, as the messages about it need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs import store
from server.base.context import Context
from server.base.db import Conn
from server.base.errors import NotFound
from server.booking import steps
from server.booking.model import Booking, Status
from server.integrations.channel import Button
from server.notifications import actions as notifications
from server.notifications.calendar import Method
from server.notifications.model import Attendee, Kind, Occasion
from server.people import store as people
from server.people.model import User
from server.sessions.links import Action, links_for

BOTH = ("mentor", "mentee")


@dataclass(frozen=True, slots=True)
class Meeting:
    """``people`` by role."""

    status: Status
    people: Mapping[str, User]
    occasion: Occasion
    booking: Booking

    async def tell(
        self,
        conn: Conn,
        ctx: Context,
        roles: tuple[str, ...],
        kind: Kind,
        dedup_key: str,
        *,
        template: str | None = None,
        method: Method | None = None,
        values: Mapping[str, Any] | None = None,
        buttons: Sequence[Button] = (),
        expires_at: datetime | None = None,
    ) -> int:
        """Write the message to each role, in the caller's transaction; returns how many had not been told yet. From
        ``expires_at`` on it is of no use."""
        told = 0
        for role in roles:
            person = self.people[role]
            # The texts ask for each by name: what this person can do no longer is an empty one.
            can = links_for(ctx.settings, self.booking, person.id, ctx.clock.now())
            links = {action.value: can.get(action.value, "") for action in Action}
            told += await notifications.tell_in(
                conn, ctx, kind=kind, template=template, recipient=person, role=role,
                occasion=self.occasion, dedup_key=dedup_key, method=method, expires_at=expires_at,
                values={"links": links, **(values or {})}, buttons=buttons,
            )  # fmt: skip
        return told


async def load_meeting(conn: Conn, ctx: Context, session_id: UUID, *, reason: str = "") -> Meeting:
    """The meeting as it stands now. Raises ``NotFound("session_not_found")``."""
    story = await store.session_story(conn, session_id)
    if story is None:
        raise NotFound("session_not_found", "There is no such session.")
    mentor, mentee = await load_person(conn, story.mentor_id), await load_person(conn, story.mentee_id)
    status = Status(story.status)
    occasion = Occasion(
        session_id=session_id,
        start=story.start,
        end=story.end,
        mentor=Attendee(mentor.name, mentor.email),
        mentee=Attendee(mentee.name, mentee.email),
        topic=story.topic,
        note=story.note,
        price_tokens=story.price_tokens,
        revision=story.revision,
        confirmed=status in (Status.APPROVED, Status.HELD),
        reason=reason,
        url=f"{ctx.settings.public_url}/sessions/{session_id}",
        booking_url=f"{ctx.settings.public_url}/bookings/{story.booking_id}",
    )
    booked = await steps.booking_in(conn, story.booking_id)
    return Meeting(status, {"mentor": mentor, "mentee": mentee}, occasion, booked)


async def load_person(conn: Conn, user_id: UUID) -> User:
    """Raises ``NotFound("user_not_found")``."""
    person = await people.user(conn, user_id)
    if person is None:
        raise NotFound("user_not_found", "There is no such person.")
    return person
