"""The registry: every channel there is, one line each, and those that are configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeAlias

from server.integrations import mail, slack, sms, whatsapp
from server.integrations.channel import NotificationChannel
from server.integrations.provider import Provider
from server.settings import Settings

Factory: TypeAlias = Callable[[Settings], NotificationChannel | None]

# Name -> how it is made of the settings; None where it is not configured.
REGISTRY: Final[Mapping[str, Factory]] = MappingProxyType(
    {
        "email": mail.channel,
        "slack": slack.channel,
        "sms": sms.channel,
        "whatsapp": whatsapp.channel,
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


def make_channels(settings: Settings, registry: Mapping[str, Factory] = REGISTRY) -> Channels:
    """What is configured; the rest lands in the development inbox in demo mode."""
    made = {name: factory(settings) for name, factory in registry.items()}
    return Channels({name: Provider(it) for name, it in made.items() if it is not None}, inbox=settings.demo)
