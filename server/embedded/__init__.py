"""PostgreSQL and Redis as children of `visavis up`, for machines that have neither."""

from server.embedded.errors import EmbeddedError
from server.embedded.servers import embedded
from server.endpoints import Endpoints

__all__ = ["EmbeddedError", "Endpoints", "embedded"]
