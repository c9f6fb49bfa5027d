"""What the API reads and writes about bookings, sessions, attendance and chat."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, PageQuery, Person, Query, Reason, Text

Status = Literal["hold", "requested", "approved", "rejected", "expired", "cancelled", "held"]
OutcomeName = Literal["completed", "mentor_no_show", "mentee_no_show", "both_absent", "cancelled"]


class BookingIn(In):
    mentor_id: UUID
    start: Instant
    end: Instant
    topic: Text = Field("", max_length=200)
    note: Text = Field("", max_length=2000)
    hold: bool = Field(False, description="Only keep the time, for five minutes and unpaid; then confirm it.")


class ReasonIn(In):
    reason: Reason = ""


class LinkIn(In):
    """Only what the link's step needs: a reason, and the new time for moving."""

    start: Instant | None = None
    end: Instant | None = None
    reason: Reason = ""


class RescheduleIn(In):
    start: Instant
    end: Instant
    reason: Reason = ""


class ProposalOut(Out):
    """Another time that one side asks the other for; the old one stands until it is approved."""

    start: Instant
    end: Instant
    by: UUID
    reason: str
    expires_at: Instant


class CancellationOut(Out):
    """The mentor's terms as they were when it was booked; percentages of the price."""

    free_until: Instant
    late_fee_percent: int
    no_show_fee_percent: int


class TermsModel(In):
    """What a mentor asks of who books her; percentages of the price."""

    instant_approval: bool = Field(False, description="Whatever fits the hours is approved at once.")
    free_until_hours: int = Field(
        0, strict=True, description="Cancelling is free until so long before the start."
    )
    late_fee_percent: int = Field(0, strict=True, description="What a mentee pays who cancels later.")
    no_show_fee_percent: int = Field(100, strict=True, description="What a mentee pays who stays away.")


class BookingOut(Out):
    id: UUID
    session_id: UUID
    mentor: Person
    mentee: Person
    start: Instant
    end: Instant
    status: Status
    price_tokens: int
    topic: str
    note: str
    is_reschedule: bool
    reschedule_reason: str | None
    cancelation_reason: str | None
    expires_at: Instant | None = Field(description="Until when a hold or a request waits.")
    proposal: ProposalOut | None
    cancellation: CancellationOut
    series_id: UUID | None
    revision: int = Field(description="Rises with every change of time or state (iTIP SEQUENCE).")
    created_at: Instant
    updated_at: Instant


class SeriesIn(In):
    mentor_id: UUID
    start: Instant
    end: Instant
    weeks: int = Field(strict=True, description="How many in all, 2 to 26.")
    topic: Text = Field("", max_length=200)
    note: Text = Field("", max_length=2000)


class SeriesOut(Out):
    series_id: UUID
    items: list[BookingOut] = Field(description="In order of time.")


class BookingsQuery(PageQuery):
    status: Status | None = None
    from_: Instant | None = Field(None, alias="from", description="Only bookings that end after this.")
    to: Instant | None = Field(None, description="Only bookings that start before this.")
    name: Text | None = Field(None, max_length=100, description="A part of the other side's name.")


class Participant(Out):
    user_id: UUID
    name: str
    role: Literal["mentor", "mentee"]


class SessionOut(Out):
    id: UUID
    booking_id: UUID
    room_id: UUID = Field(description="The session whose room it meets in: mostly itself.")
    topic: str
    start: Instant
    end: Instant
    status: Literal["scheduled", "settled", "cancelled"]
    outcome: OutcomeName | None
    settled_at: Instant | None
    participants: list[Participant]
    join_opens_at: Instant
    join_closes_at: Instant


class IntervalOut(Out):
    from_: Instant = Field(alias="from", serialization_alias="from")
    to: Instant


class AttendanceOut(Out):
    """One person as the media server saw them; durations in seconds."""

    user_id: UUID
    role: Literal["mentor", "mentee"]
    first_joined_at: Instant | None
    last_left_at: Instant | None = Field(description="null while they are in the room.")
    present_seconds: float
    media_seconds: float
    talk_seconds: float
    intervals: list[IntervalOut]


class JoinOut(Out):
    room_token: str
    room_id: UUID = Field(
        description="The id for the socket, WHIP and WHEP: that of the session whose room it is."
    )
    ws_url: str
    ice_servers: list[dict[str, str | list[str]]] = Field(
        description=(
            "For `RTCPeerConnection`: `urls`, for TURN with a `username` and `credential` that expire; ask again for"
            " fresh ones. Empty where the media server needs neither STUN nor TURN."
        )
    )
    expires_at: Instant


class WhepQuery(Query):
    participant: UUID | None = Field(
        None, description="Whom to watch, by user id (oneself too). Without it: whoever speaks or last spoke."
    )


class ChatQuery(Query):
    before: int | None = Field(None, ge=1, le=2**62, description="Only messages with a smaller `seq`.")
    limit: int = Field(50, ge=1, le=50)


class ChatOut(Out):
    seq: int
    client_id: str
    user_id: UUID
    name: str
    text: str
    at: Instant


class ChatPage(Out):
    items: list[ChatOut] = Field(description="In order of `seq`.")
    more: bool = Field(description="There are older ones: ask with `before` = the first `seq`.")
