"""Doors beside the socket: lets a person's WHIP or WHEP client into the room and to the SFU, and out again."""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

from media.api import LeaveReason, Publish, Purpose
from server.base.errors import Conflict, Unavailable
from signaling.admission import Admitted
from signaling.hub import JOIN_TIMEOUT, Hub, Sfu
from signaling.rooms import Door

MAX_VIEWS = 4  # WHEP clients of one person in one room: a wall display, a second screen, and their reconnecting ghosts
_SENT = re.compile(r"^m=(audio|video) (?!0 )(?:(?!^m=).)*?^a=recvonly\r?$", re.MULTILINE | re.DOTALL)


class Doors:
    """What comes in here is in the same room as the sockets: seen by everybody, sent away with everybody."""

    def __init__(self, hub: Hub, sfu: Sfu) -> None:
        self._hub = hub
        self._sfu = sfu

    async def open(
        self, session_id: UUID, admitted: Admitted, peer_id: str, offer: str, purpose: Purpose
    ) -> str:
        """The answer to the offer of the client that will be ``peer_id``.

        Raises OfferError, ``Conflict("too_many_views")``, ``Unavailable`` and TimeoutError.
        """
        self._check_open()
        user_id = admitted.room_pass.user_id
        publishes = isinstance(purpose, Publish)
        with self._hub.visiting(session_id, admitted) as live:
            if not publishes and sum(not d.publishes for d in live.room.seats[user_id].doors) >= MAX_VIEWS:
                raise Conflict("too_many_views", f"One person may have {MAX_VIEWS} views of a session open.")
            try:
                async with asyncio.timeout(JOIN_TIMEOUT):
                    answer = await self._sfu.join(
                        room_id=str(session_id),
                        participant_id=str(user_id),
                        peer_id=peer_id,
                        offer_sdp=offer,
                        purpose=purpose,
                    )
                self._check_open()
            except (TimeoutError, asyncio.CancelledError, Unavailable):
                self.close(session_id, peer_id)
                raise
            kinds = _SENT.findall(answer) if publishes else []
            door = Door(peer_id, publishes, audio="audio" in kinds, video="video" in kinds)
            self._hub.walk_in(session_id, user_id, door)
        return answer

    def patch(self, session_id: UUID, peer_id: str, fragment: str) -> str | None:
        """Candidates or an ICE restart; see MediaServer.patch_ice. Raises OfferError."""
        return self._sfu.patch_ice(str(session_id), peer_id, fragment)

    def close(self, session_id: UUID, peer_id: str) -> None:
        """The client leaves; everything else follows from the SFU's word."""
        self._sfu.leave(str(session_id), peer_id, LeaveReason.LEFT)

    def _check_open(self) -> None:
        if not self._hub.accepting:
            raise Unavailable("unavailable", "The server takes nobody in just now. Try again in a moment.")
