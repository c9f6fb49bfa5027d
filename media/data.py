"""Data channels: a message goes to everybody else in the room who has a channel of the same label, within limits."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from media.api import MediaConfig
from media.limits import Bucket
from media.peer import Peer
from media.room import Room
from media.tally import Tally
from media.wire import STRING, DataAssociation, DataChannel, DataLimits, DtlsState


class DataExchange:
    """The data channels of all rooms. Nothing else in a room depends on them."""

    def __init__(self, config: MediaConfig, tally: Tally, rooms: Mapping[str, Room]) -> None:
        self._config = config
        self._tally = tally
        self._rooms = rooms
        self._limits = DataLimits(
            channels=config.max_data_channels,
            message_bytes=config.max_data_message_bytes,
            buffer_bytes=config.data_buffer_bytes,
        )

    def open(self, peer: Peer, now: float) -> None:
        """The peer is connected, or has made another offer: if that has data channels, begin to serve them."""
        offered = peer.plan.data
        dtls = peer.dtls
        if offered is None or peer.data is not None or dtls is None or dtls.state is not DtlsState.CONNECTED:
            return
        config = self._config
        # From now on its datagrams carry more than a handshake.
        peer.dtls_budget = Bucket(config.data_datagrams_per_second, config.data_datagrams_burst, now)
        peer.data = DataLine(self, peer, offered.max_message_bytes, config, now)
        peer.data.association = DataAssociation(dtls, offered.sctp_port, self._limits, peer.data)

    def deliver(self, sender: DataLine, channel: DataChannel, kind: int, data: bytes) -> None:
        """Send a message on, as reliable and as ordered as its sender's channel."""
        room = self._rooms.get(sender.peer.room_id)
        readers: list[tuple[DataLine, DataChannel]] = []
        for peer in room.peers.values() if room is not None else ():
            if peer.data is not None and peer.data is not sender:
                found = peer.data.find(channel.label)
                if found is not None:
                    readers.append((peer.data, found))
        if not sender.may(len(readers), len(data), monotonic()):
            self._tally.drop("data_limited")
            return
        if kind == STRING:
            try:
                data.decode()
            except UnicodeDecodeError:
                self._tally.drop("data_not_text")
                return
        for reader, target in readers:
            if reader.max_message_bytes and len(data) > reader.max_message_bytes:
                self._tally.drop("data_too_long_for_reader")
            elif reader.association is not None and reader.association.send(
                target.stream, kind, data, channel
            ):
                self._tally.data_messages += 1
            else:
                self._tally.drop("data_slow_reader")

    def refused(self, reason: str) -> None:
        """Count it."""
        self._tally.drop(reason)


class DataLine:
    """One peer's end: its association and what it may still send."""

    def __init__(
        self, exchange: DataExchange, peer: Peer, max_message_bytes: int, config: MediaConfig, now: float
    ) -> None:
        self.peer = peer
        self.max_message_bytes = max_message_bytes  # that the client takes; 0: any
        self.association: DataAssociation | None = None
        self._exchange = exchange
        self._deliveries = Bucket(config.data_deliveries_per_second, config.data_deliveries_burst, now)
        self._octets = Bucket(config.data_bytes_per_second, config.data_bytes_burst, now)

    def find(self, label: str) -> DataChannel | None:
        """Its open channel of this label."""
        return self.association.find(label) if self.association is not None else None

    def may(self, readers: int, octets: int, now: float) -> bool:
        """Whether a message to so many readers may go. One that may not costs a datagram: packed closely, messages
        could otherwise cost more to refuse than to carry."""
        cost = max(1, readers)
        if self._deliveries.level(now) < cost or self._octets.level(now) < octets:
            self.peer.dtls_budget.charge(1.0)
            return False
        self._deliveries.charge(cost)
        self._octets.charge(octets)
        return True

    def close(self) -> None:
        """The peer goes."""
        if self.association is not None:
            self.association.close()

    def on_message(self, channel: DataChannel, kind: int, data: bytes) -> None:
        """See wire.DataUser."""
        self._exchange.deliver(self, channel, kind, data)

    def on_refused(self, reason: str) -> None:
        """See wire.DataUser."""
        self.peer.dtls_budget.charge(1.0)
        self._exchange.refused(reason)
