"""Time zones, all from the tzdata package: the machine's own zone files never answer for a person's wall clock."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

# Listed by tzdata for programs, but nobody lives there.
_NOBODY = frozenset({"Factory", "localtime", "posixrules", "posix", "right"})


@cache
def zone_names() -> tuple[str, ...]:
    """Every IANA zone name (links included), sorted."""
    listed = resources.files("tzdata").joinpath("zones").read_text("utf-8").split()
    return tuple(sorted(set(listed) - _NOBODY))


@cache
def _known() -> frozenset[str]:
    return frozenset(zone_names())


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone of that exact IANA name, or None."""
    if name not in _known():
        return None
    place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with place.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone(name: str) -> ZoneInfo:
    """The zone of a name that was validated when it was stored. Raises ``LookupError`` when tzdata lost it since."""
    found = find_zone(name)
    if found is None:
        raise LookupError(f"tzdata does not know the zone {name!r}")
    return found
