"""What a fact adds to the meeting log, and which month's partition it belongs to; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from server.attendance.model import (
    MediaSwitched,
    NoShowSuspected,
    PersonJoined,
    PersonLeft,
    ReviewAsked,
    ReviewUpheld,
    SessionSettled,
    VerdictAmended,
    switched_words,
)
from server.base.store import StoredFact
from server.merging.model import SessionsMerged, SessionsUnmerged

MADE_AHEAD: Final = 3  # months: a job that failed for a quarter of a year is noticed before
KEPT_MONTHS: Final = 25  # whole months in the log besides the present one: two years can be compared
DROPPED_AFTER: Final = timedelta(days=60)  # from detaching: time to archive the table, or to see it was wrong
PREFIX: Final = "session_events_"
DEFAULT: Final = PREFIX + "default"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. ``part`` counts the lines of one fact."""

    fact_id: int
    part: int
    session_id: UUID
    kind: str
    at: datetime
    user_id: UUID | None = None
    peer_id: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Told:
    kind: str
    user: str | None = None  # the fact's field that names the person it is about
    keep: tuple[str, ...] = ()  # the fact's fields that go into the detail


# Fact -> what the log says of it. A fact that tells more than one thing has more than one line here.
TOLD: Final[Mapping[str, tuple[_Told, ...]]] = {
    PersonJoined.KIND: (_Told("joined", "user_id"),),
    MediaSwitched.KIND: (_Told("media", "user_id", ("microphone", "camera")),),
    PersonLeft.KIND: (_Told("left", "user_id", ("reason",)),),
    NoShowSuspected.KIND: (_Told("absent", "absent_id"), _Told("waiting", "waiting_id")),
    SessionsMerged.KIND: (
        _Told("merged", "merged_by", ("room_id", "merge_id", "reason", "old_start", "start")),
    ),
    SessionsUnmerged.KIND: (_Told("unmerged", "unmerged_by", ("room_id", "merge_id", "reason", "start")),),
    SessionSettled.KIND: (_Told("verdict", None, ("outcome", "earning", "fee", "released")),),
    ReviewAsked.KIND: (_Told("review_asked", "asked_by", ("reason",)),),
    ReviewUpheld.KIND: (_Told("review_upheld", "admin_id", ("note",)),),
    VerdictAmended.KIND: (
        _Told("amended", "admin_id", ("before", "outcome", "reason", "earning", "fee", "released")),
    ),
}


def events_of(fact: StoredFact) -> list[Event]:
    """The lines that ``fact`` adds, always the same ones. Raises ``ValueError`` or ``KeyError`` for broken data."""
    if fact.session_id is None:
        raise ValueError("a fact of the meeting log needs a session")
    return [
        Event(
            fact_id=fact.id,
            part=part,
            session_id=fact.session_id,
            kind=told.kind,
            at=fact.at,
            user_id=UUID(fact.data[told.user]) if told.user else None,
            peer_id=fact.data.get("peer_id"),
            detail={name: fact.data[name] for name in told.keep},
        )
        for part, told in enumerate(TOLD[fact.kind])
        if told.user is None or fact.data[told.user] is not None  # nobody may be waiting
    ]


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> Month:
        utc = at.astimezone(UTC)
        return cls(utc.year, utc.month)

    def plus(self, months: int) -> Month:
        number = self.year * 12 + self.month - 1 + months
        return Month(number // 12, number % 12 + 1)

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        return self.plus(1).start

    @property
    def partition(self) -> str:
        """The table's name: ``session_events_2026_03``."""
        return f"{PREFIX}{self.year:04}_{self.month:02}"

    @classmethod
    def read(cls, partition: str) -> Month | None:
        """The inverse of ``partition``; None for a name of another form (the default partition)."""
        year, _, month = partition.removeprefix(PREFIX).partition("_")
        if len(year) != 4 or len(month) != 2 or not (year + month).isascii() or not (year + month).isdigit():
            return None
        return cls(int(year), int(month)) if 1 <= int(month) <= 12 else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What maintenance does, by month: partitions to make, rows to move out of the log, partitions to detach."""

    make: tuple[Month, ...]
    put_away: tuple[Month, ...]
    detach: tuple[Month, ...]


def plan(now: datetime, present: Iterable[Month], stray: Iterable[Month]) -> Plan:
    """``present`` are the months with a partition, ``stray`` those with rows in the default partition.

    A month between oldest and furthest gets a partition when it is near or has rows; rows of older months go straight
    into a detached table, and join the one that may be there.
    """
    this, there, rows = Month.of(now), set(present), set(stray)
    oldest = this.plus(-KEPT_MONTHS)
    wanted = {this.plus(n) for n in range(MADE_AHEAD + 1)} | {month for month in rows if month >= oldest}
    return Plan(
        make=tuple(sorted(wanted - there)),
        put_away=tuple(sorted(month for month in rows if month < oldest)),
        detach=tuple(sorted(month for month in there if month < oldest)),
    )


Namer: TypeAlias = Callable[[UUID], str]


def words_of(event: Event, name: Namer) -> str:
    """The rest of the line after its kind, for people."""
    who = name(event.user_id) if event.user_id else ""
    detail = event.detail
    match event.kind:
        case "media":
            return f"{who}: {switched_words(bool(detail.get('microphone')), bool(detail.get('camera')))}"
        case "left":
            return f"{who}: {detail.get('reason', '')}"
        case "merged":
            return f"by {who} into the room of {detail.get('room_id', '')}: {detail.get('reason', '')}"
        case "unmerged":
            return f"by {who} from the room of {detail.get('room_id', '')}: {detail.get('reason', '')}"
        case "verdict":
            return str(detail.get("outcome", "")).replace("_", " ")
        case "amended":
            outcome = str(detail.get("outcome", "")).replace("_", " ")
            return f"to {outcome} by {who}: {detail.get('reason', '')}"
        case "review_asked":
            return f"by {who}: {detail.get('reason', '')}"
        case "review_upheld":
            return f"by {who}: {detail.get('note', '')}"
        case _:
            return who
