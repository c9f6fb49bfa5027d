"""Finding a mentor and a time: the directory, open slots, and the mentor's own opening hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.availability import actions as availability
from server.availability import closed
from server.availability.documents import document, parse
from server.availability.model import MentorCard, Slot
from server.availability.slots import instant
from server.base.errors import FieldError, Invalid, NotFound
from server.conflicts import actions as conflicts
from server.people import actions as people
from server.people.model import Role
from server.people.zones import find_zone
from server.testimonials import actions as testimonials
from server.testimonials.model import Rating
from web.access import Public, RoleIs, SignedIn
from web.api.endpoint import Call, endpoint
from web.schemas.availability import (
    AvailabilityModel,
    CalendarOut,
    HolidayOut,
    HolidaysQuery,
    PartOut,
    PreviewIn,
    SavedAvailability,
)
from web.schemas.base import NoQuery, Nothing, Page, Span
from web.schemas.people import MentorCardOut, MentorOut, MentorsQuery, SeatsLeft, SlotsOut, SlotsQuery

TAG = "Mentors"
DEFAULT_SPAN: Final = timedelta(days=14)


async def listing(call: Call[Nothing, MentorsQuery]) -> Page[MentorCardOut]:
    """Mentors by name, with their next open slot."""
    query = call.query
    page = await availability.directory(
        call.ctx,
        q=query.q or None,
        topic=query.topic or None,
        language=query.language or None,
        max_price=query.max_price,
        available_within=query.available_within,
        cursor=query.cursor,
        limit=query.limit,
    )
    ratings = await testimonials.ratings(call.ctx, [card.id for card in page.items])
    return Page(items=[_card(card, ratings[card.id]) for card in page.items], next_cursor=page.next_cursor)


def _card(card: MentorCard, rating: Rating) -> MentorCardOut:
    return MentorCardOut(
        id=card.id,
        name=card.name,
        headline=card.headline,
        topics=list(card.topics),
        languages=list(card.languages),
        timezone=card.timezone,
        price_tokens=card.price_tokens,
        rating=rating.average,
        rating_count=rating.count,
        next_slot=None if card.next_slot is None else span(card.next_slot),
    )


def span(slot: Slot) -> Span:
    return Span(start=instant(slot.start), end=instant(slot.end))


async def one(call: Call[Nothing, NoQuery]) -> MentorOut:
    profile = await people.profile(call.ctx, call.id())
    if not profile.published:
        raise NotFound("mentor_not_found", "There is no such mentor.")
    rating = (await testimonials.ratings(call.ctx, [call.id()]))[call.id()]
    return MentorOut.of(profile, rating)


async def slots(call: Call[Nothing, SlotsQuery]) -> SlotsOut:
    """Open slots that start between `from` and `to`, at most 92 days apart."""
    query = call.query
    start, end = _asked(query, call.ctx.clock.now())
    found = await availability.offered(call.ctx, call.id(), start, end, query.length)
    if found.capacity == 1:
        return SlotsOut(slots=[span(slot) for slot in found.slots], timezone=query.tz)
    return SlotsOut(
        slots=[
            SeatsLeft(
                start=instant(slot.start),
                end=instant(slot.end),
                seats_left=found.capacity - found.taken.get(slot.start, 0),
            )
            for slot in found.slots
        ],
        sold_out=[span(slot) for slot in found.sold_out],
        timezone=query.tz,
    )


def _asked(question: SlotsQuery | PreviewIn, now: datetime) -> tuple[datetime, datetime]:
    """The span of a question for slots. Raises Invalid."""
    faults: list[FieldError] = []
    zone = find_zone(question.tz)
    if zone is None:
        faults.append(FieldError("tz", "unknown_timezone", "Name an IANA time zone such as Europe/Berlin."))
        zone = ZoneInfo("UTC")
    start = _moment("from", question.from_, zone, faults, after_day=False) or now
    end = _moment("to", question.to, zone, faults, after_day=True) or _later(start)
    if faults:
        raise Invalid(faults)
    return start, end


def _moment(
    field: str, text: str | None, zone: ZoneInfo, faults: list[FieldError], *, after_day: bool
) -> datetime | None:
    """An instant, or the beginning (``after_day``: the end) of a date in the zone; None when not given or wrong."""
    if not text:
        return None
    try:
        if len(text) == len("2026-11-22"):
            day = date.fromisoformat(text) + timedelta(days=after_day)
            return datetime.combine(day, time.min, zone).astimezone(UTC)
        # A plus sign that was not percent-encoded arrives as a space.
        at = datetime.fromisoformat(text.replace(" ", "+"))
        return (at if at.tzinfo is not None else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        faults.append(
            FieldError(
                field, "bad_instant", "Write an instant like 2026-11-22T04:00:00Z or a date like 2026-11-22."
            )
        )
        return None


def _later(start: datetime) -> datetime:
    try:
        return start + DEFAULT_SPAN
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


async def hours(call: Call[Nothing, NoQuery]) -> AvailabilityModel:
    return AvailabilityModel.model_validate(document(await availability.get(call.ctx, call.caller.user_id)))


async def set_hours(call: Call[AvailabilityModel, NoQuery]) -> SavedAvailability:
    """Replace the opening hours. What is booked stays booked; what of it collides is listed."""
    rules = parse(call.body.model_dump(exclude_unset=True, by_alias=True))
    saved = document(await availability.put(call.ctx, call.caller.user_id, rules))
    found = [
        {"booking_id": it.booking.id, "start": it.booking.start, "end": it.booking.end, "why": it.why}
        for it in await conflicts.of_mentor(call.ctx, call.caller.user_id)
    ]
    return SavedAvailability.model_validate(saved | {"collisions": found})


async def preview(call: Call[PreviewIn, NoQuery]) -> SlotsOut:
    """What mentees would see with these rules, around what is booked. Nothing is saved."""
    body = call.body
    start, end = _asked(body, call.ctx.clock.now())
    try:
        rules = parse(body.rules.model_dump(exclude_unset=True, by_alias=True))
    except Invalid as invalid:
        raise Invalid(
            [FieldError(f"rules.{fault.field}", fault.code, fault.message) for fault in invalid.errors]
        ) from None
    found = await availability.preview(call.ctx, call.caller.user_id, rules, start, end, body.length)
    return SlotsOut(slots=[span(slot) for slot in found], timezone=body.tz)


async def holidays(call: Call[Nothing, HolidaysQuery]) -> CalendarOut:
    """The public holidays of a country, as they close a mentor's days."""
    country, query = call.request.match_info["country"].upper(), call.query
    if faults := closed.calendar_faults(country, query.subdivision or None):
        raise Invalid(faults)
    days = closed.named_days(country, query.subdivision or None, query.year)
    return CalendarOut(
        days=[HolidayOut(date=day, name=name) for day, name in days],
        subdivisions=[PartOut(code=code, name=name) for code, name in closed.parts(country)],
    )


def _hours_faults(given: Mapping[str, Any]) -> list[FieldError]:
    try:
        parse(given)
    except Invalid as invalid:
        return list(invalid.errors)
    return []


ROUTES = (
    endpoint(
        "GET", "/mentors", listing, access=Public(), summary="The directory", tag=TAG,
        query=MentorsQuery, reply=Page[MentorCardOut],
    ),
    endpoint("GET", "/mentors/{id}", one, access=Public(), summary="A mentor", tag=TAG, reply=MentorOut),
    endpoint(
        "GET", "/mentors/{id}/slots", slots, access=Public(), summary="Open slots", tag=TAG,
        query=SlotsQuery, reply=SlotsOut,
    ),
    endpoint(
        "GET", "/me/availability", hours, access=RoleIs.of(Role.MENTOR), summary="One's opening hours", tag=TAG,
        reply=AvailabilityModel,
    ),
    endpoint(
        "PUT", "/me/availability", set_hours, access=RoleIs.of(Role.MENTOR), summary="Set one's opening hours", tag=TAG,
        body=AvailabilityModel, reply=SavedAvailability, faults=_hours_faults,
    ),
    endpoint(
        "POST", "/me/availability/preview", preview, access=RoleIs.of(Role.MENTOR), tag=TAG,
        summary="Open slots of rules that are not saved", body=PreviewIn, reply=SlotsOut,
    ),
    endpoint(
        "GET", "/holidays/{country}", holidays, access=SignedIn(), summary="Public holidays", tag=TAG,
        query=HolidaysQuery, reply=CalendarOut,
    ),
)  # fmt: skip
