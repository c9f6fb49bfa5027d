"""Puts the room socket on an application, with an owner for each of its tasks and an orderly end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web as http

from media.api import MediaEvent
from server.base.context import Context
from server.base.tasks import kept_running
from signaling.counters import Counters
from signaling.doors import Doors
from signaling.endpoint import Endpoint
from signaling.hub import Hub, Sfu
from signaling.presence import Attendance
from signaling.pulse import Pulse
from signaling.whip import Whip

log = structlog.get_logger(__name__)

PATH = "/ws/sessions/{id}"
DRAIN_SECONDS = 5.0


class MediaEvents:
    """The SFU's callback, made before the SFU is; `setup` says where it leads.

    Nothing can happen in an SFU before somebody has said hello, so there is nothing to keep until then.
    """

    def __init__(self) -> None:
        self._sink: Callable[[MediaEvent], None] | None = None

    def lead_to(self, sink: Callable[[MediaEvent], None]) -> None:
        self._sink = sink

    def __call__(self, event: MediaEvent) -> None:
        if self._sink is not None:
            self._sink(event)


@dataclass(frozen=True, slots=True)
class Signaling:
    hub: Hub
    endpoint: Endpoint
    counters: Counters
    pulse: Pulse


SIGNALING: http.AppKey[Signaling] = http.AppKey("signaling", Signaling)


def setup(
    app: http.Application, ctx: Context, media: Sfu, events: MediaEvents, attendance: Attendance | None = None
) -> Signaling:
    """Add the room socket, WHIP and WHEP to ``app``; its tasks run from start-up to clean-up of the application.

    ``media`` is the SFU started with ``on_event=events``. ``attendance`` is for tests of a broken one.
    """
    counters = Counters()
    hub = Hub(ctx, media, counters, attendance)
    pulse = Pulse(ctx, media.faults, hub.visitors)
    signaling = Signaling(hub, Endpoint(ctx, hub, counters), counters, pulse)
    whip = Whip(ctx, Doors(hub, media), counters)

    def on_media_event(event: MediaEvent) -> None:
        hub.on_media_event(event)
        whip.on_media_event(event)

    events.lead_to(on_media_event)
    app[SIGNALING] = signaling
    app.router.add_get(PATH, signaling.endpoint.serve, allow_head=False)
    whip.add_routes(app)
    app.cleanup_ctx.append(_tasks)
    app.on_shutdown.append(_shut_down)
    return signaling


async def drain(app: http.Application, seconds: float = DRAIN_SECONDS) -> None:
    """Say goodbye to every socket, wait for them to close and for what was seen to be written; twice does no harm."""
    signaling = app[SIGNALING]
    await signaling.hub.drain(seconds)
    if not await signaling.endpoint.idle(seconds):
        log.warning("sockets_still_open", open=signaling.counters.connections)


async def _shut_down(app: http.Application) -> None:
    await drain(app)


async def _tasks(app: http.Application) -> AsyncIterator[None]:
    signaling = app[SIGNALING]
    works = {"presence": signaling.hub.sink.run, "rooms": signaling.hub.run, "pulse": signaling.pulse.run}
    async with kept_running(works):
        yield
        # Goodbyes at the very end (the SFU stopping) are sightings too.
        await signaling.hub.sink.flush(DRAIN_SECONDS)
        await signaling.pulse.end()
