"""Bookings: one's own as a list or a calendar, and one of them with everything that can be done about it."""

from __future__ import annotations

from calendar import Calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from aiohttp import web as http

from server.base.errors import NotFound
from server.booking import actions as booking
from server.booking.model import Booking, Status
from server.confirmations import actions as confirmations
from server.people import actions as people
from server.people.model import Role
from server.sessions.model import JOIN_CLOSES
from server.waitlist import actions as waitlist
from web.access import Owner, SignedIn
from web.context import context
from web.pages.calendars import links_of
from web.pages.directory import text_cursor
from web.pages.render import render, signed_in
from web.pages.views import BookingView, principal_of, session_of, timeline, view_of, with_outcomes
from web.rendering import Reader, zone_or_utc
from web.routing import page

TABS = (
    ("upcoming", "Upcoming"),
    ("requested", "Waiting"),
    ("past", "Past"),
    ("cancelled", "Cancelled"),
    ("all", "All"),
)
VIEWS = (("list", "List"), ("week", "Week"), ("month", "Month"))
_EMPTY = {
    "upcoming": "Nothing coming up",
    "requested": "Nothing waits for an answer",
    "past": "No past sessions yet",
    "cancelled": "Nothing was cancelled",
    "all": "No bookings yet",
}
_STATUS = {
    "upcoming": Status.APPROVED,
    "requested": Status.REQUESTED,
    "past": None,
    "cancelled": Status.CANCELLED,
    "all": None,
}
PAGE_SIZE = 20
MOST = 100  # on one calendar page
_TONES = {"approved": "good", "requested": "warn", "hold": "warn", "held": "info"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; what cannot be understood is as if it were not given."""

    show: str
    view: str
    name: str
    first: date | None
    last: date | None

    @property
    def any(self) -> bool:
        return bool(self.name or self.first or self.last)

    def href(self, **other: str) -> str:
        query = {
            "show": self.show,
            "view": self.view,
            "name": self.name,
            "from": self.first.isoformat() if self.first else "",
            "to": self.last.isoformat() if self.last else "",
        }
        return "/bookings?" + urlencode({name: value for name, value in (query | other).items() if value})


@dataclass(frozen=True, slots=True)
class Group:
    """Bookings that are shown together: one, or what a list has of a series."""

    views: tuple[BookingView, ...]
    series_id: UUID | None

    @property
    def waiting(self) -> int:
        return sum(view.asks_me for view in self.views)

    @property
    def coming(self) -> int:
        return sum(view.can_change for view in self.views)


@dataclass(frozen=True, slots=True)
class Entry:
    """A booking in the calendar."""

    view: BookingView
    tone: str


@dataclass(frozen=True, slots=True)
class CalendarDay:
    date: date
    outside: bool  # of the month that is shown
    today: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class CalendarPage:
    label: str
    days: tuple[CalendarDay, ...]
    previous_href: str
    next_href: str


def filters_of(request: http.Request) -> Filters:
    show, view = request.query.get("show", "upcoming"), request.query.get("view", "list")
    return Filters(
        show if show in _EMPTY else "upcoming",
        view if view in dict(VIEWS) else "list",
        request.query.get("name", "").replace("\0", "").strip()[:100],
        _date(request.query.get("from")),
        _date(request.query.get("to")),
    )


async def listing(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx, only = context(request), filters_of(request)
    if only.view != "list":
        return await _calendar(request, only)
    frm = _midnight(only.first, reader.zone) if only.first else None
    to = _midnight(only.last + timedelta(days=1), reader.zone) if only.last else None
    if only.show == "upcoming":
        frm = max(frm or reader.now, reader.now - JOIN_CLOSES)
    if only.show == "past":
        to = min(to or reader.now, reader.now)
    items: tuple[Booking, ...] = ()
    next_href = None
    if frm is None or to is None or frm < to:
        found = await booking.list_for(
            ctx,
            principal_of(user),
            status=_STATUS[only.show],
            frm=frm,
            to=to,
            name=only.name,
            cursor=text_cursor(request),
            limit=100 if only.show == "upcoming" else PAGE_SIZE,
        )
        items = tuple(found.items)
        next_href = only.href(cursor=found.next_cursor) if found.next_cursor else None
    if only.show == "upcoming":
        items = tuple(reversed(items))  # soonest first: what is next is what people look for
    if only.show == "past":
        items = tuple(it for it in items if it.status not in (Status.CANCELLED, Status.REQUESTED))
    mine = user.role is Role.MENTEE and only.show in ("upcoming", "requested")
    return await render(
        request,
        "bookings.html",
        tabs=TABS,
        modes=VIEWS,
        only=only,
        show=only.show,
        groups=_groups(await with_outcomes(ctx, items, user, reader.now)),
        next_href=next_href,
        empty_title="Nothing like this" if only.any else _EMPTY[only.show],
        places=await waitlist.of_person(ctx, user.id) if mine else [],
        calendar=None,
    )


def _groups(views: Sequence[BookingView]) -> list[Group]:
    """In the order of the first of each."""
    series: dict[UUID, list[BookingView]] = {}
    for view in views:
        series.setdefault(view.series_id or view.id, []).append(view)
    return [Group(tuple(group), group[0].series_id) for group in series.values()]


async def _calendar(request: http.Request, only: Filters) -> http.StreamResponse:
    reader, user = await signed_in(request)
    today = reader.now.astimezone(reader.zone).date()
    shown = min(max(only.first or today, date(2000, 1, 1)), date(2200, 1, 1))
    if only.view == "week":
        first = shown - timedelta(days=shown.weekday())
        days = [first + timedelta(days=n) for n in range(7)]
        label = f"{days[0].day} {days[0]:%b} – {days[-1].day} {days[-1]:%b %Y}"
        before, after = first - timedelta(days=7), first + timedelta(days=7)
    else:
        days = list(Calendar().itermonthdates(shown.year, shown.month))
        label = f"{shown:%B %Y}"
        month = shown.replace(day=1)
        before, after = (
            (month - timedelta(days=1)).replace(day=1),
            (month + timedelta(days=32)).replace(day=1),
        )
    found = await booking.list_for(
        context(request),
        principal_of(user),
        status=_STATUS[only.show] if only.show in ("requested", "cancelled") else None,
        frm=_midnight(days[0], reader.zone),
        to=_midnight(days[-1] + timedelta(days=1), reader.zone),
        name=only.name,
        limit=MOST,
    )
    views = [view_of(it, user, reader.now) for it in reversed(found.items) if _belongs(it, only, reader.now)]
    return await render(
        request,
        "bookings.html",
        tabs=TABS,
        modes=VIEWS,
        only=only,
        show=only.show,
        groups=[],
        next_href=None,
        empty_title="",
        places=[],
        calendar=CalendarPage(
            label,
            tuple(
                _day(day, day.month != shown.month and only.view == "month", views, reader) for day in days
            ),
            only.href(**{"from": before.isoformat()}),
            only.href(**{"from": after.isoformat()}),
        ),
    )


def _belongs(it: Booking, only: Filters, now: datetime) -> bool:
    """Whether the calendar shows it: "upcoming" is what may still take place, "past" what did or should have."""
    match only.show:
        case "upcoming":
            return it.status in (Status.HOLD, Status.REQUESTED, Status.APPROVED)
        case "past":
            return it.end <= now and it.status not in (Status.CANCELLED, Status.REQUESTED)
        case _:
            return True


def _day(day: date, outside: bool, views: Sequence[BookingView], reader: Reader) -> CalendarDay:
    entries = tuple(
        Entry(view, _TONES.get(view.status, "bad"))
        for view in views
        if view.start.astimezone(reader.zone).date() == day
    )
    return CalendarDay(day, outside, day == reader.now.astimezone(reader.zone).date(), entries)


def _date(text: str | None) -> date | None:
    try:
        return (
            date.fromisoformat(text)
            if text and len(text) == len("2026-11-22") and "1970" < text < "9999"
            else None
        )
    except ValueError:
        return None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


async def one(request: http.Request) -> http.StreamResponse:
    reader, user = await signed_in(request)
    ctx = context(request)
    try:
        found = await booking.get(ctx, principal_of(user), UUID(request.match_info["id"]))
    except ValueError:
        raise NotFound("booking_not_found", "There is no such booking.") from None
    session = await session_of(ctx, found, user) if found.status is Status.HELD else None
    said = await confirmations.of_sessions(ctx, [found.session_id])
    view = view_of(found, user, reader.now, session, said.get(found.session_id))
    other = await people.get_user(ctx, view.other.id)
    return await render(
        request,
        "booking.html",
        view=view,
        timeline=timeline(view),
        other_zone=zone_or_utc(other.timezone),
        terms=found,
        add_to=links_of(ctx, view),
    )


ROUTES = (
    page("GET", "/bookings", listing, access=SignedIn()),
    page("GET", "/bookings/{id}", one, access=Owner.of("booking")),
)
