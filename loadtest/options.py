"""What a run is asked to do, with the bounds that keep it from hurting anybody."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

MAX_ROOMS = 500  # as many as the SFU accepts by default
MAX_SECONDS = 300
MAX_WARMUP = 60


class LoadError(Exception):
    """The run cannot go on; the text is for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Load:
    """What each person sends and for how long. Times are seconds."""

    seconds: float = 15.0
    warmup: float = 3.0
    video_kbps: int = 1200
    fps: int = 30
    paced: bool = False  # the packets of a frame are spread over its time instead of leaving as one burst

    def __post_init__(self) -> None:
        """Raises LoadError naming every value that is out of bounds."""
        bounds = (
            ("--seconds", self.seconds, 1, MAX_SECONDS),
            ("--warmup", self.warmup, 0, MAX_WARMUP),
            ("--video-kbps", self.video_kbps, 50, 8000),
            ("--fps", self.fps, 1, 60),
        )
        faults = [
            f"{name} must be {low} to {high}" for name, value, low, high in bounds if not low <= value <= high
        ]
        if faults:
            raise LoadError("; ".join(faults))


def room_counts(text: str) -> tuple[int, ...]:
    """`10` or `10,30,60` as numbers. Raises LoadError."""
    try:
        counts = tuple(int(word) for word in text.split(","))
    except ValueError:
        raise LoadError(f"--rooms takes a number or several with commas, not {text!r}") from None
    if not all(1 <= count <= MAX_ROOMS for count in counts):
        raise LoadError(f"--rooms takes numbers from 1 to {MAX_ROOMS}")
    return counts


def is_loopback(host: str) -> bool:
    """Whether a host name or address certainly means this machine. Names other than localhost are not looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, own_server: bool) -> str:
    """The server's base URL without a slash at the end.

    Raises LoadError unless it is http(s), and loopback unless `own_server` says that the caller may load it.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LoadError(f"--url takes an address such as http://127.0.0.1:8080, not {url!r}")
    if not own_server and not is_loopback(parts.hostname):
        raise LoadError(
            f"{parts.hostname} is not this machine. A load test against somebody else's server is an attack: "
            "add --i-own-this-server if it is yours."
        )
    return url.rstrip("/")
