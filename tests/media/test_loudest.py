"""Who is heard and seen where sources are more than places: the loudest at once, the speaker, nobody by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from media import Slot, SlotsChanged
from media.slots import SourceKey
from media.speaker import Voices
from tests.media.client import KEYFRAME, OPUS_PT, VP8_PT, Client, rtp
from tests.media.conftest import MakeWorld, World

KEYS: list[SourceKey] = [(name, 0) for name in "abcdef"]
SPEECH, SILENCE = 25, 127  # -dBov


def talk(voices: Voices, steps: int, **decibels: int) -> list[str]:
    """So many steps in which each packet of these is so many decibels above silence; the order as letters."""
    for _ in range(steps):
        for name in "abcdef":
            totals[name, 0] = totals.get((name, 0), 0) + 10 * decibels.get(name, 0)
        voices.step(totals)
    return [name for name, _ in voices.order]


totals: dict[SourceKey, int] = {}


def test_who_speaks_comes_forward_and_who_was_quiet_longest_leaves() -> None:
    totals.clear()
    voices = Voices()
    voices.enter(KEYS)
    assert talk(voices, 1) == list("abcdef")
    assert talk(voices, 5, d=20)[0] == "d"
    assert talk(voices, 10) == list("dabcef")
    assert talk(voices, 5, f=20) == list("fdabce")
    assert talk(voices, 5, e=20, f=20)[:2] == ["f", "e"]
    assert talk(voices, 1, c=10)[:2] == ["f", "e"]  # one shout is not yet a speech ...
    voices.onset(("b", 0))
    assert voices.order[:3] == (("f", 0), ("e", 0), ("b", 0))  # ... but is heard, before all that are quiet
    assert talk(voices, 8, f=2, e=20)[:2] == ["e", "f"]  # constant noise gives way to speech


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), st.integers(0, 460)), max_size=40), st.data())
def test_nobody_is_lost_and_nobody_quiet_passes_a_speaker(
    steps: list[dict[SourceKey, int]], data: st.DataObject
) -> None:
    voices = Voices()
    sums: dict[SourceKey, int] = {}
    for step in steps:
        before = voices.order
        sums = {key: sums.get(key, 0) + more for key, more in step.items()}
        assert voices.step(sums) == (voices.order != before)
        assert sorted(voices.order) == sorted(sums)
        if sums:
            key = data.draw(st.sampled_from(sorted(sums)))
            quiet = [each for each in voices.order if not sums[each]]
            voices.onset(key)
            assert all(voices.order.index(key) < voices.order.index(each) for each in quiet if each != key)
            assert sorted(voices.order) == sorted(sums)


class Speaker:
    """A client that sends a packet of sound each 20 ms, as loud as `level` says."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.level = SILENCE
        self.number = 0
        self.marks: dict[int, bytes] = {}

    def send(self) -> None:
        self.number += 1
        body = f"{self.client.participant} {self.number} {self.level}".encode()
        self.client.send(rtp(1000, OPUS_PT, self.number, self.number * 960, body, mid="0", level=self.level))


def heard(client: Client) -> list[tuple[str, int, int]]:
    """(participant, number, level) of each packet of sound that came."""
    packets = [p.payload.decode().split() for p in client.rtp if p.payload_type == OPUS_PT]
    return [(name, int(number), int(level)) for name, number, level in packets]


async def meeting(
    world: World, names: str, slots: int
) -> tuple[dict[str, Speaker], Callable[[int], Awaitable[None]]]:
    """Participants with these letters, each with `slots` slots, and what lets them all send for some packets' time."""
    speakers = {name: Speaker(await world.join(name, slots=slots)) for name in names}

    async def run(packets: int) -> None:
        for _ in range(packets):
            for speaker in speakers.values():
                speaker.send()
            await asyncio.sleep(0.02)

    await run(15)
    return speakers, run


async def test_only_the_loudest_are_forwarded_and_a_first_word_is_not_lost(make_world: MakeWorld) -> None:
    world = await make_world(loudest=2)
    speakers, run = await meeting(world, "abcd", 3)
    listener = speakers["a"].client
    await run(15)
    listener.rtp.clear()
    await run(10)
    assert {name for name, _, _ in heard(listener)} <= {"b", "c", "d"}
    assert len({name for name, _, _ in heard(listener)}) <= 2
    slots = world.all(SlotsChanged)
    for name in "dcbdb":
        listener.rtp.clear()
        speakers[name].level = SPEECH
        first = speakers[name].number + 1
        await run(10)
        await listener.until(lambda: (name, first + 9, SPEECH) in heard(listener))  # noqa: B023
        words = [number for who, number, level in heard(listener) if who == name and level == SPEECH]
        assert words == list(range(first, first + 10))
        speakers[name].level = SILENCE
        await run(60)  # long enough to be quiet
    assert world.all(SlotsChanged) == slots  # nobody's place has changed by that
    hushed = next(name for name in "bcd" if name not in {who for who, _, _ in heard(listener)[-10:]})
    listener.rtp.clear()
    world.server.sources("room", hushed, {"0": "screen"})
    await run(5)
    await listener.until(lambda: hushed in {who for who, _, _ in heard(listener)})  # as quiet as it is


async def test_two_people_always_hear_each_other(make_world: MakeWorld) -> None:
    world = await make_world(loudest=1)
    speakers, run = await meeting(world, "ab", 1)
    await run(30)
    for one, other in ("ab", "ba"):
        client = speakers[one].client
        await client.until(lambda: len(heard(client)) > 25)  # noqa: B023
        assert {name for name, _, _ in heard(client)} == {other}


async def test_a_single_slot_for_sound_follows_the_loudest(world: World) -> None:
    speakers, run = await meeting(world, "abcd", 1)
    listener = speakers["a"].client
    for name in "dbc":
        listener.rtp.clear()
        speakers[name].level = SPEECH
        first = speakers[name].number + 1
        await run(10)
        await listener.until(lambda: (name, first + 9, SPEECH) in heard(listener))  # noqa: B023
        assert (name, first, SPEECH) in heard(listener)
        told = [e for e in world.all(SlotsChanged) if e.peer_id == "a"][-1]
        assert Slot("2", "audio", name, "microphone") in told.slots
        got = [p.sequence for p in listener.rtp if p.payload_type == OPUS_PT]
        assert [n - got[0] & 0xFFFF for n in got] == list(range(len(got)))
        speakers[name].level = SILENCE
        await run(60)


async def test_a_single_slot_for_video_shows_who_speaks(world: World) -> None:
    speakers, run = await meeting(world, "abc", 1)
    listener = speakers["a"].client

    def shown() -> str | None:
        told = [e for e in world.all(SlotsChanged) if e.peer_id == "a"][-1]
        return next(slot.participant_id for slot in told.slots if slot.mid == "3")

    assert shown() == "b"
    for name in "cbc":
        speakers[name].client.send(
            rtp(2000, VP8_PT, speakers[name].number, 1, KEYFRAME, mid="1", marker=True)
        )
        speakers[name].level = SPEECH
        while shown() != name:
            await run(1)
        speakers[name].level = SILENCE
        await run(15)
        assert shown() == name  # and he stays when he has stopped
    assert listener.participant == "a"
