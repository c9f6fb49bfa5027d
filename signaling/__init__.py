"""The room socket: signalling, chat and presence of a session (PROTOCOL.md).

``setup(app, ctx, media, events)`` puts it on an application; ``drain(app)`` empties it::

    events = MediaEvents()
    media = await MediaServer.start(config, wall_clock=..., on_event=events)
    setup(app, ctx, media, events)

Frames are judged by `receive`, rooms decide in `rooms`, both without waiting; `hub` does what they say.
"""

from signaling.wiring import PATH, SIGNALING, MediaEvents, Signaling, drain, setup

__all__ = ["PATH", "SIGNALING", "MediaEvents", "Signaling", "drain", "setup"]
