"""The mentors: looking for one, and one mentor's page with the times that can be booked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web as http

from server.availability import actions as availability
from server.availability.model import MentorCard, Slot
from server.availability.slots import Offered, instant
from server.base.context import Context
from server.base.errors import Forbidden, NotFound
from server.booking import actions as booking
from server.booking.model import LIVE, price_of
from server.ledger import actions as ledger
from server.people import actions as people
from server.people.model import Role, User
from server.testimonials import actions as testimonials
from server.testimonials.model import Rating
from web.access import Public
from web.context import context
from web.pages.render import reader_of, render
from web.pages.views import BookingView, principal_of, view_of
from web.rendering import Reader, day_name, zone_or_utc
from web.routing import page

DAYS = 7  # on one page of slots
SEARCH_AHEAD = timedelta(
    days=92
)  # how far the empty page looks for the next open time: the action's own limit
PAGE_SIZE = 24
SAID = 6  # testimonials on one page
LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "sw": "Swahili",
    "ta": "Tamil",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SlotView:
    """``seats_left`` None: it has one seat, and that is free; 0: sold out."""

    start: datetime
    end: datetime
    seats_left: int | None = None


@dataclass(frozen=True, slots=True)
class CardView:
    id: UUID
    name: str
    headline: str
    topics: tuple[str, ...]
    price_tokens: int
    next_slot: SlotView | None
    rating: Rating


@dataclass(frozen=True, slots=True)
class Search:
    """The filters as the form shows them: what cannot be understood is as if it were not given."""

    q: str | None
    topic: str | None
    language: str | None
    max_price: int | None
    within_days: int | None
    cursor: str | None

    @property
    def filtered(self) -> bool:
        return any(
            value is not None
            for value in (self.q, self.topic, self.language, self.max_price, self.within_days)
        )


@dataclass(frozen=True, slots=True)
class DayView:
    date: date
    name: str
    sub: str
    slots: tuple[SlotView, ...]


@dataclass(frozen=True, slots=True)
class Week:
    """The days of one page of slots and the way to others."""

    first: date
    last: date
    label: str
    days: tuple[DayView, ...]
    previous_href: str | None
    next_href: str | None
    later_href: str | None
    later_label: str


@dataclass(frozen=True, slots=True)
class MentorView:
    id: UUID
    name: str
    headline: str
    bio: str
    topics: tuple[str, ...]
    languages: tuple[str, ...]
    price_tokens: int
    zone: ZoneInfo
    slot_minutes: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Length:
    """One of the session lengths to choose from."""

    minutes: int
    price_tokens: int
    href: str
    chosen: bool


def slot_view(slot: Slot) -> SlotView:
    return SlotView(instant(slot.start), instant(slot.end))


def _slot_views(found: Offered) -> list[SlotView]:
    """What is open and what is sold out, in order."""
    if found.capacity == 1:
        return [slot_view(it) for it in found.slots]
    views = [
        replace(slot_view(it), seats_left=found.capacity - found.taken.get(it.start, 0)) for it in found.slots
    ]
    return sorted(
        [*views, *(replace(slot_view(it), seats_left=0) for it in found.sold_out)], key=lambda it: it.start
    )


async def card_views(ctx: Context, cards: Sequence[MentorCard]) -> list[CardView]:
    ratings = await testimonials.ratings(ctx, [it.id for it in cards])
    return [
        CardView(
            it.id,
            it.name,
            it.headline,
            it.topics,
            it.price_tokens,
            slot_view(it.next_slot) if it.next_slot else None,
            ratings[it.id],
        )
        for it in cards
    ]


def search_of(request: http.Request) -> Search:
    query = request.query

    def text(name: str) -> str | None:
        return query.get(name, "").strip()[:100] or None

    def number(name: str, most: int) -> int | None:
        value = query.get(name, "")
        return (
            int(value)
            if value.isascii() and value.isdigit() and len(value) < 7 and int(value) <= most
            else None
        )

    within = number("available_within", 366)
    return Search(
        text("q"),
        text("topic"),
        text("language"),
        number("max_price", 100_000),
        within or None,
        text_cursor(request),
    )


def text_cursor(request: http.Request) -> str | None:
    return request.query.get("cursor") or None


async def mentors(request: http.Request) -> http.StreamResponse:
    search = search_of(request)
    found = await availability.directory(
        context(request),
        q=search.q,
        topic=search.topic,
        language=search.language,
        max_price=search.max_price,
        available_within=None if search.within_days is None else search.within_days * 86_400,
        cursor=search.cursor,
        limit=PAGE_SIZE,
    )
    next_href = None
    if found.next_cursor:
        kept = {k: v for k, v in request.query.items() if k != "cursor" and v}
        next_href = "/mentors?" + urlencode(kept | {"cursor": found.next_cursor})
    return await render(
        request,
        "mentors.html",
        query=search,
        filtered=search.filtered,
        cards=await card_views(context(request), found.items),
        topics=sorted({topic for card in found.items for topic in card.topics}, key=str.casefold),
        languages=sorted(LANGUAGES.items(), key=lambda item: item[1]),
        next_href=next_href,
    )


async def mentor(request: http.Request) -> http.StreamResponse:
    try:
        mentor_id = UUID(request.match_info["id"])
    except ValueError:
        raise NotFound("mentor_not_found", "There is no such mentor.") from None
    ctx = context(request)
    profile = await people.profile(ctx, mentor_id)
    reader = await reader_of(request)
    if request.query.get("tz"):
        reader = replace(reader, zone=zone_or_utc(request.query["tz"]))
    rules = await availability.get(ctx, mentor_id)
    user = reader.user if isinstance(reader.user, User) else None
    can_book = user is not None and user.role is Role.MENTEE
    moving = await _moving(request, user, mentor_id, reader.now) if user and can_book else None
    # Whoever is restricted still moves what is agreed.
    can_book = can_book and (moving is not None or reader.restricted_until is None)
    shown = MentorView(
        mentor_id, profile.name, profile.headline, profile.bio, profile.topics,
        tuple(LANGUAGES.get(code, code) for code in profile.languages), profile.price_tokens,
        zone_or_utc(profile.timezone), rules.slot_minutes, rules.capacity,
    )  # fmt: skip
    # A session that moves keeps its length.
    wanted = moving.minutes if moving else int(_digits(request.query.get("length")) or rules.slot_minutes)
    chosen = wanted if wanted in rules.lengths else rules.slot_minutes
    kept = _kept(request, moving)
    lengths = [
        Length(
            minutes,
            price_of(profile.price_tokens, rules.slot_minutes, minutes),
            f"/mentors/{mentor_id}?{urlencode(kept | {'length': minutes})}#times",
            minutes == chosen,
        )
        for minutes in sorted(rules.lengths)
        if moving is None or minutes == chosen
    ]
    return await render(
        request,
        "mentor.html",
        reader=reader,
        mentor=shown,
        week=await _week(request, mentor_id, reader, moving, chosen)
        if profile.published
        else _no_week(reader),
        lengths=lengths,
        length=next(it for it in lengths if it.chosen),
        terms=await booking.terms(ctx, mentor_id),
        can_book=can_book and profile.published,
        moving=moving,
        rating=(await testimonials.ratings(ctx, [mentor_id]))[mentor_id],
        said=await testimonials.published(ctx, mentor_id, _said_cursor(request), SAID),
        wallet=await ledger.wallet(ctx, user.id) if user and can_book else None,
    )


async def _moving(request: http.Request, user: User, mentor_id: UUID, now: datetime) -> BookingView | None:
    """The booking named by ``?move=``, when it is the reader's, with this mentor, and can still be moved."""
    try:
        found = await booking.get(context(request), principal_of(user), UUID(request.query.get("move", "")))
    except (ValueError, NotFound, Forbidden):
        return None
    movable = found.mentor_id == mentor_id and found.mentee_id == user.id and found.status in LIVE
    return view_of(found, user, now) if movable and now < found.start else None


def _said_cursor(request: http.Request) -> str | None:
    return request.query.get("said") or None


def _digits(text: str | None) -> str:
    return text if text and text.isascii() and text.isdigit() and len(text) < 4 else ""


def _kept(request: http.Request, moving: BookingView | None) -> dict[str, str]:
    """What the links of the page carry on."""
    kept = {name: request.query[name] for name in ("tz", "from", "length") if request.query.get(name)}
    return kept | ({"move": str(moving.id)} if moving else {})


async def _week(
    request: http.Request, mentor_id: UUID, reader: Reader, moving: BookingView | None, length: int
) -> Week:
    """The slots of DAYS days from ``?from=`` (today when absent or past), and where the next ones are."""
    ctx, zone = context(request), reader.zone
    today = reader.now.astimezone(zone).date()
    first = max(today, min(_date(request.query.get("from")) or today, today + timedelta(days=400)))
    kept = _kept(request, moving)

    def href(day: date) -> str:
        return f"/mentors/{mentor_id}?{urlencode(kept | {'from': day.isoformat()})}#times"

    last = first + timedelta(days=DAYS)
    found = await availability.offered(ctx, mentor_id, _midnight(first, zone), _midnight(last, zone), length)
    later = None
    if not found.slots:
        begin = _midnight(last, zone)
        ahead = await availability.open_slots(ctx, mentor_id, begin, begin + SEARCH_AHEAD, length)
        later = slot_view(ahead[0]).start.astimezone(zone).date() if ahead else None
    return Week(
        first=first,
        last=last - timedelta(days=1),
        label=_span_label(first, last - timedelta(days=1)),
        days=tuple(_days(_slot_views(found), reader)),
        previous_href=href(max(today, first - timedelta(days=DAYS))) if first > today else None,
        next_href=href(last),
        later_href=href(later) if later else None,
        later_label=day_name(later, reader.now, zone) if later else "",
    )


def _no_week(reader: Reader) -> Week:
    today = reader.now.astimezone(reader.zone).date()
    last = today + timedelta(days=DAYS - 1)
    return Week(today, last, _span_label(today, last), (), None, None, None, "")


def _days(slots: list[SlotView], reader: Reader) -> Iterable[DayView]:
    for day, group in groupby(slots, key=lambda slot: slot.start.astimezone(reader.zone).date()):
        name = day_name(day, reader.now, reader.zone)
        plain = f"{day.day} {day:%b}"
        near = name in ("Today", "Tomorrow")
        yield DayView(day, name if near else f"{day:%A}", plain, tuple(group))


def _span_label(first: date, last: date) -> str:
    if first.month == last.month:
        return f"{first.day}–{last.day} {last:%B}"
    return f"{first.day} {first:%b} – {last.day} {last:%b}"


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


ROUTES = (
    page("GET", "/mentors", mentors, access=Public(), summary="The directory"),
    page("GET", "/mentors/{id}", mentor, access=Public(), summary="A mentor and the open times"),
)
