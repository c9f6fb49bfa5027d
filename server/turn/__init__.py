"""STUN and TURN for the clients: who may use the relay for how long, and whether it answers."""

from server.turn.credentials import IceServer, ice_servers

__all__ = ["IceServer", "ice_servers"]
