"""The one error of the embedded servers: a sentence for the operator that contains its remedy."""

from server.base.errors import Unavailable


class EmbeddedError(Unavailable):
    """An embedded server cannot run. `detail` is a sentence with the remedy, `code` is `embedded_server`."""

    def __init__(self, detail: str) -> None:
        super().__init__("embedded_server", detail)
