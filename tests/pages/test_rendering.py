"""How instants, amounts and people are written, and where a login may lead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from web.assets import Assets
from web.pages.account import safe_next
from web.rendering import (
    Reader,
    hue,
    initials,
    make_environment,
    spoken_distance,
    spoken_duration,
    tokens,
    zone_choices,
)

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 27, 9, 0, tzinfo=UTC)


def written(source: str, zone: str = "Europe/Berlin", **values: object) -> str:
    env = make_environment(lambda path: f"/static/{path}")
    return env.from_string(source).render(reader=Reader(ZoneInfo(zone), NOW), **values)


@pytest.mark.parametrize(
    ("at", "zone", "text"),
    [
        (datetime(2026, 3, 27, 13, 0, tzinfo=UTC), "Europe/Berlin", "Today, 14:00 CET"),
        (datetime(2026, 3, 27, 23, 30, tzinfo=UTC), "Europe/Berlin", "Tomorrow, 00:30 CET"),
        (datetime(2026, 3, 30, 13, 0, tzinfo=UTC), "Europe/Berlin", "Mon 30 Mar, 15:00 CEST"),
        (datetime(2026, 3, 30, 13, 0, tzinfo=UTC), "Asia/Kathmandu", "Mon 30 Mar, 18:45 UTC+5:45"),
        (datetime(2026, 3, 30, 13, 0, tzinfo=UTC), "America/Sao_Paulo", "Mon 30 Mar, 10:00 UTC-3"),
        (datetime(2027, 1, 4, 13, 0, tzinfo=UTC), "UTC", "Mon 4 Jan 2027, 13:00 UTC"),
    ],
)
def test_an_instant_names_day_time_and_zone(at: datetime, zone: str, text: str) -> None:
    stamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert written("{{ at | instant }}", zone, at=at) == f'<time datetime="{stamp}">{text}</time>'


def test_a_span_over_midnight_says_so() -> None:
    start = datetime(2026, 3, 30, 21, 45, tzinfo=UTC)
    html = written("{{ start | when(end) }}", start=start, end=start + timedelta(minutes=30))
    assert "Mon 30 Mar, 23:45–00:15 (Tue) CEST" in html


def test_everything_is_escaped_and_a_typo_is_an_error() -> None:
    assert "<script>" not in written("{{ text | paragraphs }}{{ text }}", text="<script>\n\n<b>")
    with pytest.raises(UndefinedError):
        written("{{ nonsense }}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (5400, "1 h 30 min"), (7200, "2 h"), (200_000, "2 days")],
)
def test_durations(seconds: float, text: str) -> None:
    assert spoken_duration(seconds) == text


def test_distances_point_both_ways() -> None:
    assert spoken_distance(NOW + timedelta(minutes=20), NOW) == "in 20 min"
    assert spoken_distance(NOW - timedelta(hours=3), NOW) == "3 h ago"
    assert spoken_distance(NOW, NOW) == "just now"


def test_amounts_and_names() -> None:
    assert [tokens(n) for n in (0, 1, 1200)] == ["0 tokens", "1 token", "1,200 tokens"]
    assert [initials(n) for n in ("Amara Okafor", "ada", "Mei-Lin von Tan", "!!", "李 娜")] == [
        "AO",
        "A",
        "MT",
        "?",
        "李娜",
    ]


@given(st.uuids())
def test_a_person_keeps_her_colour(identity: UUID) -> None:
    assert hue(identity) == hue(str(identity))
    assert 0 <= hue(identity) < 8


def test_every_zone_offered_exists_once() -> None:
    zones = [zone for _, group in zone_choices() for zone in group]
    assert len(zones) == len(set(zones)) > 300
    assert {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"} <= set(zones)


@pytest.mark.parametrize("path", ["/dashboard", "/mentors/1?tz=Europe%2FBerlin#times", "/bookings?show=past"])
def test_a_login_leads_back(path: str) -> None:
    assert safe_next(path) == path


@given(
    st.sampled_from(["", "//", "/\\", "https://", "javascript:", "\\", "/\t/", "/login?next="]),
    st.text(max_size=20),
)
def test_a_login_never_leads_away(prefix: str, rest: str) -> None:
    target = safe_next(prefix + rest)
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\", "/login"))
    assert target.isprintable()


def test_assets_are_named_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    before = Assets.read(tmp_path)
    assert before.url("a.css") == f"/static/{before.version}/a.css"
    (tmp_path / "a.css").write_text("b {}")
    assert Assets.read(tmp_path).version != before.version
    with pytest.raises(FileNotFoundError):
        before.url("b.css")
