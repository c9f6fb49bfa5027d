"""What the API reads and writes about people."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from server.people.model import MAX_TAGS, MentorProfile, ProfileChange, User
from server.testimonials.model import Rating
from web.schemas.base import In, Instant, Out, PageQuery, Query, Span, Text

Credential = Text


class RegisterIn(In):
    email: Text = Field(examples=["ada@example.org"])
    password: Credential = Field(description="10 to 200 characters.")
    name: Text
    role: Literal["mentee", "mentor"]
    timezone: Text = Field(examples=["Europe/Berlin"], description="An IANA zone.")


class LoginIn(In):
    email: Text
    password: Credential


class RefreshIn(In):
    refresh_token: Text = Field(max_length=1000)


class ProfileOut(Out):
    headline: str
    bio: str
    topics: list[str]
    languages: list[str]
    price_tokens: int
    published: bool

    @classmethod
    def of(cls, profile: MentorProfile) -> ProfileOut:
        return cls(
            headline=profile.headline,
            bio=profile.bio,
            topics=list(profile.topics),
            languages=list(profile.languages),
            price_tokens=profile.price_tokens,
            published=profile.published,
        )


class UserOut(Out):
    id: UUID
    email: str
    name: str
    role: Literal["mentee", "mentor", "admin"]
    timezone: str
    created_at: Instant
    profile: ProfileOut | None = Field(None, description="Mentors only.")

    @classmethod
    def of(cls, user: User, profile: MentorProfile | None = None) -> UserOut:
        return cls(
            id=user.id,
            email=user.email,
            name=user.name,
            role=user.role.value,
            timezone=user.timezone,
            created_at=user.created_at,
            profile=None if profile is None else ProfileOut.of(profile),
        )


class SignedInOut(Out):
    """Tokens and whose they are. The access token goes into ``Authorization: Bearer``."""

    user: UserOut
    access_token: str
    refresh_token: str = Field(
        description="Good for one refresh; presenting it twice revokes all that came from it."
    )
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int = Field(description="Seconds the access token lives.")


class MeChange(In):
    """Only what is given changes. All but the first two are for mentors."""

    name: Text | None = None
    timezone: Text | None = None
    headline: Text | None = None
    bio: Text | None = None
    topics: list[Text] | None = Field(None, max_length=MAX_TAGS)
    languages: list[Text] | None = Field(None, max_length=MAX_TAGS)
    price_tokens: int | None = Field(None, strict=True)

    def change(self) -> ProfileChange:
        return ProfileChange(
            name=self.name,
            timezone=self.timezone,
            headline=self.headline,
            bio=self.bio,
            topics=None if self.topics is None else tuple(self.topics),
            languages=None if self.languages is None else tuple(self.languages),
            price_tokens=self.price_tokens,
        )


class MentorsQuery(PageQuery):
    q: Text | None = Field(None, max_length=200, description="Words in name, headline, bio or topics.")
    topic: Text | None = Field(None, max_length=100, description="Exact but for case.")
    language: Text | None = Field(None, max_length=35, description="RFC 5646 tag, e.g. `en`.")
    max_price: int | None = Field(None, ge=0, le=1_000_000)
    available_within: int | None = Field(
        None, ge=1, le=366 * 86400, description="Seconds: only mentors with a free slot that starts so soon."
    )


class MentorCardOut(Out):
    id: UUID
    name: str
    headline: str
    topics: list[str]
    languages: list[str]
    timezone: str
    price_tokens: int
    rating: float | None = Field(
        description="The mean of published stars, 1 to 5; null until there are some."
    )
    rating_count: int
    next_slot: Span | None


class MentorOut(Out):
    id: UUID
    name: str
    timezone: str
    headline: str
    bio: str
    topics: list[str]
    languages: list[str]
    price_tokens: int
    rating: float | None
    rating_count: int

    @classmethod
    def of(cls, profile: MentorProfile, rating: Rating) -> MentorOut:
        return cls(
            id=profile.user_id,
            name=profile.name,
            timezone=profile.timezone,
            headline=profile.headline,
            bio=profile.bio,
            topics=list(profile.topics),
            languages=list(profile.languages),
            price_tokens=profile.price_tokens,
            rating=rating.average,
            rating_count=rating.count,
        )


class SlotsQuery(Query):
    from_: Text | None = Field(None, alias="from", description="An instant, or a date in `tz`. Default: now.")
    to: Text | None = Field(
        None, description="An instant, or a date in `tz` (that day included). Default: 14 days later."
    )
    tz: Text = Field("UTC", description="IANA zone in which dates are meant.")
    length: int | None = Field(
        None, description="Minutes; one of the mentor's lengths. Default: the usual one."
    )


class SeatsLeft(Span):
    """A slot of a group session."""

    seats_left: int = Field(description="Of the mentor's `capacity`.")


class SlotsOut(Out):
    slots: list[SeatsLeft | Span] = Field(
        description="`seats_left` is there where sessions have several seats."
    )
    sold_out: list[Span] = Field(default=[], description="Group sessions whose seats are all taken.")
    timezone: str = Field(description="The zone in which dates of the question were read.")
