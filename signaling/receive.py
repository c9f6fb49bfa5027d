"""What one frame does to a room's conversation."""

from __future__ import annotations

from server.base.talk import HangUp, Perform, Refuse, Talk, Verdict, identifier, judge
from signaling.messages import Hello, Inbound
from signaling.text import parse

__all__ = ["HangUp", "Perform", "Refuse", "Talk", "identifier", "receive"]


def receive(talk: Talk, frame: str | None, now: float) -> tuple[Talk, Verdict[Inbound]]:
    """Judge one frame (``None``: a binary one) that arrived at ``now`` (seconds of any steady clock).

    Never raises: every frame has a verdict.
    """
    return judge(talk, frame, now, parse, Hello)
