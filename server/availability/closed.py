"""Public holidays as days off: which calendars there are, and on which days of a year each is closed."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

import holidays

from server.base.errors import FieldError

_EPOCH_DAY: Final = 719_163  # date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1)
def calendars() -> dict[str, tuple[str, ...]]:
    """ISO 3166-1 country -> its ISO 3166-2 parts that have holidays of their own."""
    return {country: tuple(parts) for country, parts in holidays.list_supported_countries().items()}


def calendar_faults(country: str, subdivision: str | None) -> list[FieldError]:
    """What is wrong with the name of a holiday calendar."""
    if country not in calendars():
        return [
            FieldError(
                "holidays.country", "unknown_country", "Name a country by its two letters, such as DE."
            )
        ]
    if subdivision is not None and subdivision not in calendars()[country]:
        return [FieldError("holidays.subdivision", "unknown_subdivision", f"{country} has no such part.")]
    return []


@lru_cache(maxsize=512)
def closed_days(country: str, subdivision: str | None, year: int) -> frozenset[int]:
    """The public holidays of a year as days since 1970."""
    found = holidays.country_holidays(country, subdiv=subdivision, years=year)
    return frozenset(day.toordinal() - _EPOCH_DAY for day in found)


@lru_cache(maxsize=512)
def named_days(country: str, subdivision: str | None, year: int) -> tuple[tuple[date, str], ...]:
    """The same days with their names, in order."""
    found = holidays.country_holidays(country, subdiv=subdivision, years=year)
    return tuple(sorted(found.items()))


@lru_cache(maxsize=64)
def parts(country: str) -> tuple[tuple[str, str], ...]:
    """(ISO 3166-2 part, its name or else its code) of a country whose parts have holidays of their own."""
    names = holidays.country_holidays(country).get_subdivision_aliases()
    return tuple((code, next(iter(names.get(code, ())), code)) for code in calendars()[country])
