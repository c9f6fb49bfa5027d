"""What we are called at an OAuth service, as the settings say."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """What we are called at a service that holds people's calendars; ``base_url`` stands for all its addresses."""

    client_id: str
    client_secret: str = field(repr=False)
    base_url: str | None  # None: the service's own
