"""Push subscriptions in the API's words: the shape of the browsers' own PushSubscription.toJSON()."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from web.schemas.base import In, Instant, Out, Text


class PushKeysIn(In):
    p256dh: Text = Field(max_length=100)
    auth: Text = Field(max_length=40)


class PushSubscriptionIn(In):
    endpoint: Text = Field(max_length=2000)
    keys: PushKeysIn
    expirationTime: float | None = None
    label: Text = Field("", max_length=200, description="What the browser calls itself, for its owner.")


class PushEndpointIn(In):
    endpoint: Text = Field(max_length=2000)


class PushDeviceOut(Out):
    """The endpoint is a permission to write to the device, so it is not told again."""

    id: UUID
    label: str
    created_at: Instant


class PushDevicesOut(Out):
    """``public_key`` (base64url) is what a browser subscribes with; null: there is no push here."""

    public_key: str | None
    items: list[PushDeviceOut]
