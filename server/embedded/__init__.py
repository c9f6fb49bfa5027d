"""PostgreSQL and Redis as children of `visavis up`, for machines that have neither."""

from server.embedded.errors import EmbeddedError
from server.embedded.servers import Endpoints, embedded

__all__ = ["EmbeddedError", "Endpoints", "embedded"]
