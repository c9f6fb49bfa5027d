"""The context that these tests' actions run in."""

from tests.booking.world import ctx

__all__ = ["ctx"]
