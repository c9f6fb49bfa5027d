"""Extensions from any publisher's ids to any subscriber's: what comes out parses to what went in, by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from media import wire
from media.answer import plan
from media.api import MediaConfig
from media.downlink import Downlink
from media.exit import abs_send_time
from media.forward import Sender
from media.rtp import (
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    DESCRIPTOR,
    MID,
    ORIENTATION,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    TWO_BYTE,
    ExtensionIds,
    ExtensionReader,
    Extras,
    write_extensions,
)
from media.sdp import parse_offer
from media.tally import Tally
from media.template import MAX_BLOCKS, Template
from tests.media.client import EXTENSIONS, KEYFRAME, OPUS_PT, offer, rtp, section
from tests.media.conftest import World
from tests.media.test_forward import Network, Subscriber, forward, source
from tests.media.test_server import pair

URIS = (
    MID, RID, REPAIRED_RID, TRANSPORT_CC, ABS_SEND_TIME, AUDIO_LEVEL, ORIENTATION, PLAYOUT_DELAY, DESCRIPTOR,
)  # fmt: skip


@st.composite
def mappings(draw: st.DrawFn) -> dict[str, int]:
    """Any ids for some of the extensions; the mid is always there."""
    chosen = draw(st.sets(st.sampled_from(URIS[1:])).map(lambda s: sorted({MID, *s})))
    highest = draw(st.sampled_from([14, 255]))
    ids = draw(st.lists(st.integers(1, highest), min_size=len(chosen), max_size=len(chosen), unique=True))
    return dict(zip(chosen, ids, strict=True))


EXTRAS = st.builds(
    Extras,
    st.one_of(st.just(-1), st.integers(0, 255)),
    st.one_of(st.just(-1), st.integers(0, 255)),
    st.one_of(st.just(b""), st.binary(min_size=3, max_size=3)),
    st.one_of(st.just(b""), st.binary(min_size=3, max_size=8), st.binary(min_size=17, max_size=255)),
)


def published(ids: dict[str, int], extras: Extras, stranger: bool, two_byte: bool) -> bytes:
    """The block a publisher writes, a mid and perhaps something nobody negotiated among it."""
    elements = [(ids[MID], b"1")]
    if AUDIO_LEVEL in ids and extras.level >= 0:
        elements.append((ids[AUDIO_LEVEL], bytes((extras.level,))))
    if stranger:
        free = next(n for n in range(1, 15) if n not in ids.values())
        elements.insert(0, (free, b"\xff" * 3))
    if ORIENTATION in ids and extras.orientation >= 0:
        elements.append((ids[ORIENTATION], bytes((extras.orientation,))))
    if DESCRIPTOR in ids and extras.descriptor:
        elements.append((ids[DESCRIPTOR], extras.descriptor))
    if PLAYOUT_DELAY in ids and extras.playout:
        elements.append((ids[PLAYOUT_DELAY], extras.playout))
    return write_extensions(elements, two_byte)


@given(
    mappings(), mappings(), st.lists(EXTRAS, min_size=1, max_size=8), st.booleans(), st.booleans(), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_what_comes_out_is_what_went_in(
    theirs: dict[str, int],
    ours: dict[str, int],
    stories: list[Extras],
    stranger: bool,
    two_byte: bool,
    allow_mixed: bool,
    again: bool,
) -> None:
    reader = ExtensionReader(ExtensionIds.of(theirs))
    viewer, downlink, tally = Subscriber(), Downlink(), Tally()
    viewer.outlet.open(
        wire.context_of(viewer.sender), 77, ExtensionIds.of(ours), allow_mixed, downlink
    )  # as of some m-line; which are accepted where is the answer's business
    sender = Sender(Network(viewer), tally, True)
    stream = source(1000)
    viewer.outlet.attach(stream.track)
    forms = set()
    for number, extras in enumerate(stories):
        block = published(theirs, extras, stranger, two_byte)
        _, level, read = reader.read(block, 4, len(block), int.from_bytes(block[:2], "big"))
        known = Extras(
            extras.level if AUDIO_LEVEL in theirs else -1,
            extras.orientation if ORIENTATION in theirs else -1,
            extras.playout if PLAYOUT_DELAY in theirs else b"",
            extras.descriptor if DESCRIPTOR in theirs else b"",
        )
        assert (read or Extras()) == known and level == known.level
        forward(stream, number, number * 3000, KEYFRAME, sender, extras=read)
        if again:  # the same by way of retransmission
            assert stream.ring is not None
            stream.ring.store((number, number * 3000, 0, KEYFRAME, read, 1.0))
            sender.resend(viewer.outlet, [32000 + number], 1.0 + number)
        expected = {ours[MID]: b"7"}
        if AUDIO_LEVEL in ours and known.level >= 0:
            expected[ours[AUDIO_LEVEL]] = bytes((known.level,))
        if ORIENTATION in ours and known.orientation >= 0:
            expected[ours[ORIENTATION]] = bytes((known.orientation,))
        if PLAYOUT_DELAY in ours and known.playout:
            expected[ours[PLAYOUT_DELAY]] = known.playout
        for got in viewer.got:
            elements = dict(got[5])
            if TRANSPORT_CC in ours:
                assert len(elements.pop(ours[TRANSPORT_CC])) == 2
                assert ours.get(ABS_SEND_TIME) not in elements
            elif ABS_SEND_TIME in ours:
                assert len(elements.pop(ours[ABS_SEND_TIME])) == 3
            if DESCRIPTOR in ours and known.descriptor:
                descriptor = elements.pop(ours[DESCRIPTOR])
                assert descriptor[0] == known.descriptor[0] and descriptor[3:] == known.descriptor[3:]
            assert elements == expected
            assert got[4].endswith(KEYFRAME)
        assert len(viewer.got) == 1 + again
        forms.update(viewer.forms)
        viewer.got.clear()
        viewer.forms.clear()
    if not allow_mixed:
        assert len(forms) == 1
    assert tally.drops == {}


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(1, 6)), min_size=1, max_size=6))
def test_frame_numbers_go_on_from_one_source_to_the_next(sources: list[tuple[int, int]]) -> None:
    """A decoder drops a keyframe whose frame number is behind the last: each person counts from anywhere."""
    viewer, tally = Subscriber(), Tally()
    viewer.outlet.open(wire.context_of(viewer.sender), 77, ExtensionIds(mid=4, descriptor=9), True)
    sender = Sender(Network(viewer), tally, True)
    for who, (first, frames) in enumerate(sources):
        stream = source(1000 + who)
        viewer.outlet.attach(stream.track)
        for frame in range(frames):
            descriptor = b"\xc0" + (first + frame & 0xFFFF).to_bytes(2, "big") + b"rest"
            extras = Extras(descriptor=descriptor)
            for part in range(2):
                payload = KEYFRAME if frame == part == 0 else b"\0\1"
                forward(stream, 10 + 2 * frame + part, frame * 3000, payload, sender, 1.0, extras=extras)
        viewer.outlet.detach(1.0)
    numbers = [int.from_bytes(g[5][9][1:3], "big") for g in viewer.got]
    total = sum(frames for _, frames in sources)
    assert numbers == [1 + at // 2 for at in range(2 * total)]
    assert tally.drops == {}


def test_a_template_is_shared_and_bounded() -> None:
    a, b = Subscriber(ssrc=100), Subscriber(ssrc=200)
    assert a.outlet.template is b.outlet.template
    template = Template(ExtensionIds(mid=4, descriptor=5), "1", True)
    for number in range(10 * MAX_BLOCKS):
        template.fill(Extras(descriptor=b"\0" + number.to_bytes(2, "big")))
        assert len(template.blocks) <= MAX_BLOCKS


@given(st.floats(0, 1e6))
def test_abs_send_time_is_seconds_in_6_18_bits(now: float) -> None:
    read = int.from_bytes(abs_send_time(now), "big") / (1 << 18)
    assert abs((now % 64) - read) < 1e-5 or abs((now % 64) - read) > 64 - 1e-5


@given(st.sampled_from(["audio", "video"]), st.sampled_from(["sendonly", "recvonly", "sendrecv"]), mappings())
def test_the_answer_takes_what_it_knows_whatever_the_ids(
    kind: str, direction: str, ids: dict[str, int]
) -> None:
    lines = [line for line in section("0", kind, direction) if not line.startswith("a=extmap:")]
    lines += [f"a=extmap:{number} {uri}" for uri, number in ids.items()]
    free = next(n for n in range(1, 15) if n not in ids.values())
    lines.append(f"a=extmap:{free} urn:example:unheard-of")
    decided = plan(parse_offer(offer([lines]), 1 << 20, 10), MediaConfig())
    taken = {uri for _, uri in decided.sections[0].extensions}
    known = {MID, TRANSPORT_CC} | (
        {AUDIO_LEVEL} if kind == "audio" else {ORIENTATION, PLAYOUT_DELAY, DESCRIPTOR}
    )
    if direction != "recvonly":
        known |= {RID, REPAIRED_RID}
    if direction != "sendonly" and TRANSPORT_CC not in ids:
        known.add(ABS_SEND_TIME)
    assert taken == known & set(ids)
    assert all(number == ids[uri] for number, uri in decided.sections[0].extensions)


def test_a_long_descriptor_takes_the_two_byte_form_only_where_it_must() -> None:
    viewer = Subscriber()
    viewer.outlet.open(wire.context_of(viewer.sender), 77, ExtensionIds(mid=4, descriptor=5), True)
    stream = source(1)
    viewer.outlet.attach(stream.track)
    for number, size in enumerate([3, 40, 3]):
        forward(
            stream, number, 0, KEYFRAME, Sender(Network(viewer), Tally(), True),
            extras=Extras(descriptor=bytes(size)),
        )  # fmt: skip
    assert [form == TWO_BYTE for form in viewer.forms] == [False, True, False]


async def test_a_listener_is_told_how_loud_each_packet_is(world: World) -> None:
    ann, zoe = await pair(world)
    for number, level in enumerate((0x80 | 20, 127, 33)):
        ann.send(rtp(1000, OPUS_PT, 500 + number, number * 960, b"loud-%d" % level, mid="0", level=level))
    await zoe.until(lambda: sum(p.payload.startswith(b"loud-") for p in zoe.rtp) == 3)
    heard = [p for p in zoe.rtp if p.payload.startswith(b"loud-")]
    assert [p.elements[EXTENSIONS[AUDIO_LEVEL]] for p in heard] == [
        bytes((level,)) for level in (148, 127, 33)
    ]
    assert all(p.elements[EXTENSIONS[MID]] == p.mid.encode() for p in heard)
    assert all(len(p.elements[EXTENSIONS[TRANSPORT_CC]]) == 2 for p in heard)
