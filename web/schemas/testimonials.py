"""What the API reads and writes about testimonials."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field

from server.testimonials.model import LONGEST, Testimonial
from web.schemas.base import In, Instant, Out, PageQuery, Person, Reason, Text


class TestimonialIn(In):
    stars: int = Field(strict=True, description="1 to 5.")
    text: Text = Field(max_length=4 * LONGEST, description=f"Plain text, at most {LONGEST} characters.")


class TestimonialOut(Out):
    """As its author and administrators see it."""

    session_id: UUID
    mentor: Person
    author: Person
    stars: int
    text: str
    status: Literal["submitted", "published", "rejected", "withdrawn"]
    reason: str = Field(description="Why it was rejected.")
    revision: int = Field(description="Rises with every change.")
    written_at: Instant
    decided_at: Instant | None

    @classmethod
    def of(cls, it: Testimonial) -> TestimonialOut:
        return cls(
            session_id=it.session_id,
            mentor=Person(id=it.mentor_id, name=it.mentor_name),
            author=Person(id=it.mentee_id, name=it.mentee_name),
            stars=it.stars,
            text=it.text,
            status=it.status.value,
            reason=it.reason,
            revision=it.revision,
            written_at=it.written_at,
            decided_at=it.decided_at,
        )


class PublicTestimonialOut(Out):
    """As the public sees it."""

    author: str = Field(description="A first name.")
    month: str = Field(description="Of the session, UTC.", examples=["2026-03"])
    stars: int
    text: str

    @classmethod
    def of(cls, it: Testimonial) -> PublicTestimonialOut:
        return cls(author=it.author, month=f"{it.session_start:%Y-%m}", stars=it.stars, text=it.text)


class TestimonialsQuery(PageQuery):
    status: Literal["submitted", "decided"] = Field(
        "submitted",
        description="What waits, the longest waiting first; or what was decided, the latest first.",
    )


class PublishIn(In):
    revision: int | None = Field(
        None,
        strict=True,
        description="What was read: 409 `changed_meanwhile` if the author has changed it since.",
    )


class RejectIn(PublishIn):
    reason: Reason = Field(description="The author reads it.")
