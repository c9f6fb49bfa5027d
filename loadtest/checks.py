"""ICE connectivity checks of a full agent towards a server, which may be ICE-lite or check in return (RFC 8445)."""

import secrets

from aioice.stun import Class, Message, Method, parse_message

from loadtest.options import LoadError

# Type preference of a host candidate, one component, one interface (RFC 8445 section 5.1.2.1).
_PRIORITY = 126 << 24 | 65535 << 8 | 255


class Checks:
    """Makes binding requests, with USE-CANDIDATE if it is the controlling agent, and recognises their answers."""

    MAX_OPEN = 16  # unanswered requests remembered; older ones are taken as lost

    def __init__(
        self,
        local_ufrag: str,
        local_password: str,
        remote_ufrag: str,
        remote_password: str,
        controlling: bool = True,
    ) -> None:
        self._username = f"{remote_ufrag}:{local_ufrag}"
        self._key = remote_password.encode()
        self._own_name = f"{local_ufrag}:{remote_ufrag}"
        self._own_key = local_password.encode()
        self._controlling = controlling
        self._tie_breaker = secrets.randbits(64)
        self._open: dict[bytes, None] = {}
        self.answered = 0

    def request(self) -> bytes:
        """A new check, ready to send."""
        role = {"ICE-CONTROLLING": self._tie_breaker, "USE-CANDIDATE": None}
        if not self._controlling:
            role = {"ICE-CONTROLLED": self._tie_breaker}
        message = Message(
            Method.BINDING,
            Class.REQUEST,
            attributes={"USERNAME": self._username, **role, "PRIORITY": _PRIORITY},
        )
        message.add_message_integrity(self._key)
        self._open[message.transaction_id] = None
        if len(self._open) > self.MAX_OPEN:
            del self._open[next(iter(self._open))]
        return bytes(message)

    def accept(self, data: bytes) -> bool:
        """Whether `data` is the authentic answer to one of our checks. Raises LoadError if the server refused one."""
        try:
            message = parse_message(data)
        except ValueError:
            return False
        if message.transaction_id not in self._open:
            return False
        if message.message_class is Class.ERROR:
            raise LoadError(
                f"The server refused a connectivity check: {message.attributes.get('ERROR-CODE')}"
            )
        if message.message_class is not Class.RESPONSE or not message.check_message_integrity(self._key):
            return False
        del self._open[message.transaction_id]
        self.answered += 1
        return True

    def reply(self, data: bytes, address: tuple[str, int]) -> bytes | None:
        """The answer to a check that the server makes from `address`; None if `data` is no such thing."""
        try:
            message = parse_message(data)
        except ValueError:
            return None
        if (
            message.message_method is not Method.BINDING
            or message.message_class is not Class.REQUEST
            or message.attributes.get("USERNAME") != self._own_name
            or not message.check_message_integrity(self._own_key)
        ):
            return None
        answer = Message(Method.BINDING, Class.RESPONSE, message.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = address
        answer.add_message_integrity(self._own_key)
        return bytes(answer)
