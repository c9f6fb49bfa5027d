"""RTCP on its way out: protected and sent, reports and feedback alike."""

import socket
from typing import Any

from media.srtp import Scratch


class ControlOut:
    """Sends compound RTCP packets over one link."""

    def __init__(self, sock: socket.socket, context: Any) -> None:
        """`context` is libsrtp's for sending."""
        self._socket = sock
        self._context = context
        self._scratch = Scratch()

    def send(self, packet: bytes) -> None:
        """Send one; what the socket refuses is lost like on any line. Raises ValueError if libsrtp refuses it."""
        size = self._scratch.protect_rtcp(self._context, packet)
        if size < 0:
            raise ValueError(f"SRTP refuses to protect a report: status {-size}")
        try:
            self._socket.send(self._scratch.view[:size])
        except (BlockingIOError, ConnectionRefusedError):
            return
