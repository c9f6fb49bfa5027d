"""The registry: every channel there is, one line each, and those that are configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from server.integrations import in_app, mail, push, slack, sms, whatsapp
from server.integrations.channel import ChannelModule, Dials
from server.integrations.provider import Provider
from server.settings import Settings

Registry: TypeAlias = Mapping[str, ChannelModule]

REGISTRY: Final[Registry] = MappingProxyType(
    {
        "email": mail,
        "in_app": in_app,
        "push": push,
        "slack": slack,
        "sms": sms,
        "whatsapp": whatsapp,
    }
)


@dataclass(frozen=True, slots=True)
class Channels:
    """The providers of a process by channel. With ``inbox``, what has no provider lands in the development inbox
    (demo mode); without, it waits until one is configured."""

    providers: Mapping[str, Provider] = field(default_factory=dict)
    inbox: bool = False

    def ready(self, now: datetime) -> set[str]:
        return {name for name, provider in self.providers.items() if provider.ready(now)}


def make_channels(settings: Settings, registry: Registry = REGISTRY) -> Channels:
    """What is configured; the rest lands in the development inbox in demo mode."""
    made = {name: module.channel(settings) for name, module in registry.items()}
    return Channels({name: Provider(it) for name, it in made.items() if it is not None}, inbox=settings.demo)


def team_channels(settings: Settings, registry: Registry = REGISTRY) -> list[str]:
    """Those in use where nobody in particular is told, but whoever runs the place."""
    open_to_us = in_use(settings, registry)
    return [name for name, it in registry.items() if it.TRAITS.dials is Dials.TEAM and name in open_to_us]


def in_use(settings: Settings, registry: Registry = REGISTRY) -> frozenset[str]:
    """The channels that messages are written for. Mail always: where it is not configured yet, it waits until it is."""
    return frozenset(
        name
        for name, module in registry.items()
        if settings.demo
        or module.TRAITS.dials in (Dials.ACCOUNT, Dials.PERSON)
        or module.channel(settings) is not None
    )
