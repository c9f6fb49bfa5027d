"""What changes inside a payload on its way to one subscriber: the seam between the forwarder and the codecs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from media.stream import Packet


class Rewriter(Protocol):
    """One subscriber's picture numbers and layers; an outlet has one only while it needs one.

    For each packet of the stream the forwarder asks `describe` (once for all subscribers), and then, in the order in
    which it sends: `leaves_out`, `marker`, `patch`. Nothing here may raise, whatever is in the packet. At a switch of
    layers the outlet keeps a deep copy, which patches what is retransmitted of the layer before.
    """

    def describe(self, packet: Packet) -> Any | None:
        """What the packet says of its picture and layer; None: it says nothing, and passes unchanged.

        Depends on the stream alone, not on this subscriber: the result is shared by all of them. A packet that is
        sent again (RTX, a replayed keyframe) is described anew.
        """

    def leaves_out(self, said: Any, timestamp: int) -> bool:
        """Whether this subscriber does not get the packet; its sequence number is then closed up."""

    def marker(self, said: Any, marker: int) -> int:
        """The marker bit to send, 0x80 or 0: the last packet of the best layer that is sent ends the picture."""

    def patch(self, buffer: bytearray, at: int, said: Any) -> None:
        """Write the subscriber's numbers into the payload that begins at `at`; its length stays."""
