"""Who is speaking: the rule, and the event it becomes."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from media import SpeakerChanged
from media.speaker import Speakers
from tests.media.client import OPUS_PT, rtp
from tests.media.conftest import World


def story(speakers: Speakers, steps: int, **packets: int) -> list[str | None]:
    """So many steps in which each of them has so many loud packets."""
    seen: list[str | None] = []
    for _ in range(steps):
        for who, count in packets.items():
            totals[who] = totals.get(who, 0) + count
        speakers.step(totals)
        seen.append(speakers.current)
    return seen


totals: dict[str, int] = {}


def test_a_cough_is_not_a_speech_and_a_breath_no_end() -> None:
    totals.clear()
    speakers = Speakers()
    assert story(speakers, 3, ann=0, bob=0) == [None] * 3
    assert story(speakers, 1, ann=5) == [None]
    assert story(speakers, 5, ann=10)[-1] == "ann"
    assert story(speakers, 1, bob=10) == ["ann"]  # an exclamation
    assert story(speakers, 3, ann=0) == ["ann"] * 3  # a breath
    assert story(speakers, 6, bob=10)[-1] == "bob"
    assert story(speakers, 12, bob=0)[-1] is None
    speakers.step({})
    assert speakers.current is None


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 10)), max_size=60))
def test_the_speaker_is_there_and_has_spoken(steps: list[dict[str, int]]) -> None:
    speakers = Speakers()
    counts: dict[str, int] = {}
    for step in steps:
        counts = {who: counts.get(who, 0) + more for who, more in step.items()}
        before = speakers.current
        assert speakers.step(counts) == (speakers.current != before)
        assert speakers.current is None or counts.get(speakers.current, 0) > 0


async def test_the_event_names_who_speaks(world: World) -> None:
    ann, _zoe = await world.join("ann"), await world.join("zoe")
    number = 0
    while not world.all(SpeakerChanged):
        number += 1
        ann.send(rtp(1000, OPUS_PT, number, number * 960, b"speech", mid="0", level=20))
        await asyncio.sleep(0.01)
    assert world.all(SpeakerChanged) == [SpeakerChanged("room", "ann", "ann")]
    await world.until(lambda: len(world.all(SpeakerChanged)) == 2)
    assert world.all(SpeakerChanged)[1] == SpeakerChanged("room", None, None)
