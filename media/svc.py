"""Which layers of a scalable stream (SVC) one subscriber is sent: frames selected so that each can be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from media.layered import NOTHING, TEMPORAL, Frame, Layers, Said

if TYPE_CHECKING:
    from media.stream import Packet

HISTORY = 128  # frames remembered: over a second of three spatial layers at 30 frames a second
PATIENCE = 12  # frames: four pictures of three spatial layers
# A packet that says nothing of its layer is not sent: it may need what this subscriber has not got.
_UNKNOWN = Said(-1, Frame(NOTHING, -1, 0, 0, (), 0, 0), False)


class Selector:
    """One subscriber's layers: a `rewrite.Rewriter` that leaves out frames and sets the marker.

    It sends one decode target (`current`) and aims at another one when the limits change: towards less at the next
    picture whose references were sent, towards more temporal layers where the sender marks that nothing later needs
    what was left out, towards more spatial layers at a frame that needs no other (a keyframe, which the outlet asks
    for). The sender's frames are judged once, at their first packet; late packets are treated as their frame was.
    """

    __slots__ = (
        "_aims", "_changes", "_frames", "_from", "_layers", "_limits", "_newest", "_structure", "_unit", "_waited",
        "broken", "current",
    )  # fmt: skip

    def __init__(self, layers: Layers, spatial: int, temporal: int, *, everything: bool) -> None:
        """Limits as for `limit`. `everything`: the subscriber has been sent all frames until now; else it begins
        with the next keyframe."""
        self._layers = layers
        self._structure = layers.structure
        self._limits = spatial, temporal
        self._frames: dict[int, bool] = {}  # number -> sent, oldest first
        self._newest = -1
        self._from = layers.next_frame if everything else -1  # frames before this one are all sent
        self._unit = -1  # timestamp of the picture under way
        self.current = self._structure.targets[-1] if everything else -1
        self._changes = [(-1, self.current)]  # (number of its first frame, decode target)
        self._aims: tuple[int, ...] = ()
        self._waited = 0  # frames since the aim changed
        self.broken = False  # what is sent cannot be decoded any more: the sender does not do what he says
        self._aim()

    def limit(self, spatial: int, temporal: int) -> None:
        """Send spatial and temporal layers up to these, from where it can be done on."""
        if (spatial, temporal) != self._limits:
            self._limits = spatial, temporal
            self._aim()

    @property
    def needs_keyframe(self) -> bool:
        """Whether only a keyframe leads to the spatial layer that is wanted: always to a better one, to a lesser one
        if some frames have passed that did not."""
        if self.broken:
            return True
        if not self._aims:
            return False
        up = self._aims[0] // TEMPORAL - self.current // TEMPORAL
        return up > 0 or (up < 0 and self._waited > PATIENCE)

    @property
    def spatial(self) -> int:
        """The best spatial layer sent now."""
        return max(self.current, 0) // TEMPORAL

    @property
    def height(self) -> int:
        """Lines of the best spatial layer sent now, 0 if unknown."""
        return self._structure.heights[self.spatial] if self.spatial < len(self._structure.heights) else 0

    @property
    def temporal(self) -> int:
        """The best temporal layer sent now."""
        return max(self.current, 0) % TEMPORAL

    def __deepcopy__(self, _memo: object) -> Selector:
        """What was sent before a switch of streams is sent again by this one; the new stream has its own."""
        return self

    def describe(self, packet: Packet) -> Said:
        """What was read when the packet came in."""
        return self._layers.describe(packet[0]) or _UNKNOWN

    def leaves_out(self, said: Said, timestamp: int) -> bool:
        """Whether the packet's frame is not sent."""
        frame = said.frame
        sent = self._frames.get(frame.number)
        return not (self._judge(frame, timestamp) if sent is None else sent)

    def marker(self, said: Said, marker: int) -> int:
        """The sender marks the end of its best layer; ours may be another one."""
        if said.last and not marker:
            frame = said.frame
            return 0x80 if frame.spatial == self._target_of(frame.number) // TEMPORAL else 0
        return marker

    def patch(self, _buffer: bytearray, _at: int, _said: Said) -> None:
        """Nothing: the numbers in these payloads may have holes."""

    def _judge(self, frame: Frame, timestamp: int) -> bool:
        """A frame's first packet: change the target if this is the place, and see whether the frame is sent."""
        if frame.number < 0:
            return False
        if frame.number < self._from:
            return True
        frames, references = self._frames, frame.references
        decodable = all(frames.get(number, True) for number in references)
        if frame.number > self._newest:
            self._newest = frame.number
            if frame.structure is not self._structure:
                self._structure = frame.structure
                self._aim()
            if self._aims:
                self._waited += 1
                self._turn(frame, timestamp != self._unit, decodable)
            self._unit = timestamp
            target = self.current
        else:
            target = self._target_of(frame.number)
        belongs = target >= 0 and bool(frame.present >> target & 1)
        sent = belongs and decodable
        if belongs:
            self.broken = not decodable
        frames[frame.number] = sent
        if len(frames) > HISTORY:
            del frames[next(iter(frames))]
        return sent

    def _turn(self, frame: Frame, begins: bool, decodable: bool) -> None:
        """Take the best aim that this frame allows; `begins`: it is the first of its picture."""
        current = self.current
        for aim in self._aims:
            if aim // TEMPORAL == current // TEMPORAL and aim < current:
                allowed = begins
            elif not decodable or not frame.present >> aim & 1:
                continue
            elif not frame.references:
                allowed = bool(frame.switch >> aim & 1)
            elif current < 0 or aim // TEMPORAL > current // TEMPORAL:
                continue
            elif aim // TEMPORAL < current // TEMPORAL:
                # What may still come late was not of this layer: what the frame needs must have been sent for certain.
                certain = all(self._frames.get(number, number < self._from) for number in frame.references)
                less = aim % TEMPORAL <= current % TEMPORAL
                allowed = begins and certain and (less or bool(frame.switch >> aim & 1))
            else:
                allowed = bool(frame.switch >> aim & 1 and frame.present >> current & 1)
            if allowed:
                self.current = aim
                self._changes.append((frame.number, aim))
                del self._changes[:-8]
                self._aim()
                return

    def _aim(self) -> None:
        """The target wanted, then with the spatial layer of now: what can be had without a keyframe."""
        self._waited = 0
        aim = self._structure.best(*self._limits)
        if aim == self.current:
            self._aims = ()
        elif self.current < 0 or aim // TEMPORAL == self.current // TEMPORAL:
            self._aims = (aim,)
        else:
            beside = self._structure.best(self.current // TEMPORAL, self._limits[1])
            same = beside // TEMPORAL == self.current // TEMPORAL and beside != self.current
            self._aims = (aim, beside) if same else (aim,)

    def _target_of(self, number: int) -> int:
        """The decode target that was in force at a frame."""
        for first, target in reversed(self._changes):
            if number >= first:
                return target
        return -1
