"""The socket at /ws: live notifications for whoever is signed in (docs/live.md).

Frames are judged by server/base/talk.py with the sets of `messages`; `hub` knows who is listening and says what is new;
`endpoint` is the aiohttp handler and owns the tasks.
"""

from web.live.endpoint import LIVE, ROUTES, Live, drain, setup

__all__ = ["LIVE", "ROUTES", "Live", "drain", "setup"]
