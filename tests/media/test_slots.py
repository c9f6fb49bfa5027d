"""The rule that fills receive slots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media.api import Kind
from media.slots import SlotPlace, SourceKey, assign

KEYS = st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 1))
SOURCES = st.fixed_dictionaries({
    "audio": st.lists(KEYS, unique=True, max_size=10), "video": st.lists(KEYS, unique=True, max_size=10)
})  # fmt: skip


def places(audio: int, video: int) -> list[SlotPlace]:
    return [SlotPlace(f"a{i}", "audio", i) for i in range(audio)] + [
        SlotPlace(f"v{i}", "video", i) for i in range(video)
    ]


@given(st.integers(0, 6), st.integers(0, 6), st.lists(SOURCES, min_size=1, max_size=6))
def test_every_step_keeps_the_promises(
    audio: int, video: int, story: list[dict[Kind, list[SourceKey]]]
) -> None:
    current: dict[str, SourceKey] = {}
    spots = places(audio, video)
    for sources in story:
        result = assign(spots, current, sources)
        assert result == assign(spots, current, sources)
        for kind, count in (("audio", audio), ("video", video)):
            filled = {mid: key for mid, key in result.items() if mid[0] == kind[0]}
            offered = sources[kind]  # type: ignore[index]
            assert len(set(filled.values())) == len(filled) == min(count, len(offered))
            assert set(filled.values()) <= set(offered)
            for mid, key in current.items():
                if mid[0] == kind[0] and key in offered:
                    assert result[mid] == key  # nobody who is still there moves
        current = result


def test_sound_and_picture_share_an_index() -> None:
    spots = places(3, 3)
    first = assign(spots, {}, {"audio": [("ann", 0), ("bob", 0)], "video": [("bob", 0)]})
    assert first == {"a0": ("ann", 0), "a1": ("bob", 0), "v1": ("bob", 0)}
    later = assign(spots, first, {"audio": [("bob", 0), ("kim", 0)], "video": [("bob", 0), ("kim", 0)]})
    assert later == {"a1": ("bob", 0), "v1": ("bob", 0), "a0": ("kim", 0), "v0": ("kim", 0)}
