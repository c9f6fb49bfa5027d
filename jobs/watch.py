"""Notices that no web process beats any more, while it goes on: nobody is written to, or judged, for our outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from server.attendance import outages
from server.attendance.model import ORPHAN_AFTER
from server.base.context import Context

LOOK = 5.0  # seconds between looks, as often as a beat


class Watch:
    """Looks whether the latest beat is still the one it saw before, by a clock that nobody sets.

    Only the first look goes by the wall clock: where the whole machine was down, the worker may be up before the web
    process, and must not settle a session as if people had stayed away.
    """

    def __init__(self, ctx: Context, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ctx = ctx
        self._monotonic = monotonic
        self._latest: datetime | None = None
        self._since: float | None = None  # monotonic, when `_latest` was new

    async def look(self) -> bool:
        """True when an outage was noticed that nobody knew of. Before the first beat ever there is none."""
        latest = await outages.latest_beat(self._ctx)
        now = self._monotonic()
        if self._since is None:
            silent = timedelta() if latest is None else self._ctx.clock.now() - latest
            self._since = now - max(0.0, silent.total_seconds())
        elif latest != self._latest:
            self._since = now
        self._latest = latest
        if latest is None or now - self._since <= ORPHAN_AFTER.total_seconds():
            return False
        return await outages.gone_since(self._ctx, latest)
