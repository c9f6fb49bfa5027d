"""One synthetic browser that sends and receives: a link with a sender and a receiver on it."""

from OpenSSL import SSL
from pylibsrtp import Session

from loadtest.answer import Answer
from loadtest.control import ControlOut
from loadtest.engine import Engine
from loadtest.link import Link
from loadtest.offer import Identity
from loadtest.options import Load
from loadtest.receiver import REPORT_NS, Receiver
from loadtest.sender import AUDIO_NS, Sender
from media.wire import context_of


def phase_of(number: int) -> float:
    """Everybody starts at another moment of the frame interval, as people do; the golden ratio spreads evenly."""
    return number * 0.6180339887 % 1


class Peer(Link):
    """Sends as soon as it is connected; decrypts and measures everything that comes."""

    def __init__(
        self,
        engine: Engine,
        context: SSL.Context,
        identity: Identity,
        answer: Answer,
        address: tuple[str, int],
        number: int,
        load: Load,
    ) -> None:
        """`address` is the server's candidate to use; `number` is the person's in the run. Raises LoadError."""
        super().__init__(engine, context, identity, answer, address)
        self._number, self._load = number, load
        self.sender: Sender | None = None

    def _begin(self, outgoing: Session, incoming: Session) -> Receiver:
        engine, identity = self._engine, self._identity
        context = context_of(outgoing)
        sender = self.sender = Sender(
            engine, self._socket, context, identity, self._answer, self._number, self._load
        )
        receiver = Receiver(
            engine, context_of(incoming), ControlOut(self._socket, context), sender, identity, self.media_came
        )
        phase = phase_of(self._number)
        now = engine.now()
        engine.wheel.add(now + int(phase * AUDIO_NS), sender.audio)
        engine.wheel.add(now + int(phase * 1_000_000_000 / self._load.fps), sender.video)
        engine.wheel.add(now + int(phase * REPORT_NS), receiver.report)
        return receiver
