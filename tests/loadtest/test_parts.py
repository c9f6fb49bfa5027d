"""The small parts: bounds, the wheel, datagrams, frames, and reports about received streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.conductor import generators
from loadtest.dtls import MAX_DATAGRAM, datagrams
from loadtest.offer import ABS_SEND_TIME
from loadtest.options import Load, LoadError, check_url, room_counts
from loadtest.receiver import Incoming, ntp_of
from loadtest.stream import VP8_PAYLOAD, Stream, split_frame, vp8_head
from loadtest.wheel import Wheel
from media.rtp import AUDIO_LEVEL, MID, TRANSPORT_CC, parse_extensions, parse_payload
from media.vp8 import keyframe as vp8_keyframe


def test_all_faults_of_a_load_are_named_at_once() -> None:
    with pytest.raises(LoadError) as caught:
        Load(seconds=0, warmup=-1, video_kbps=1, fps=1000)
    for name in ("--seconds", "--warmup", "--video-kbps", "--fps"):
        assert name in str(caught.value)


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "10,", "10,0", "501", "1e3"])
def test_a_bad_number_of_rooms_is_refused(text: str) -> None:
    with pytest.raises(LoadError):
        room_counts(text)


def test_numbers_of_rooms() -> None:
    assert room_counts("10") == (10,) and room_counts("10,30,60") == (10, 30, 60)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "http://localhost", "https://[::1]:8443", "http://127.9.9.9"]
)
def test_this_machine_may_be_loaded(url: str) -> None:
    assert check_url(url, own_server=False) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1", "https://example.org", "http://127.0.0.1.example.org", "http://0.0.0.0"]
)
def test_another_machine_only_when_it_is_ones_own(url: str) -> None:
    with pytest.raises(LoadError, match="i-own-this-server"):
        check_url(url, own_server=False)
    assert check_url(url, own_server=True) == url


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(LoadError, match="--url"):
        check_url(url, own_server=True)


@pytest.mark.parametrize(
    ("rooms", "processors", "expected"), [(10, 1, 1), (10, 2, 1), (10, 3, 2), (10, 64, 2), (1, 64, 1)]
)
def test_the_server_keeps_a_processor(rooms: int, processors: int, expected: int) -> None:
    assert generators(rooms, processors) == expected


@given(
    st.lists(st.integers(0, 10_000_000_000), max_size=40), st.lists(st.integers(1, 900_000_000), max_size=40)
)
def test_the_wheel_calls_each_once_never_early_and_within_a_tick(starts: list[int], steps: list[int]) -> None:
    now = 1_700_000_000_000_000_000
    wheel = Wheel(now)
    dues = [now + start % Wheel.SPAN_NS for start in starts]
    called: list[tuple[int, int]] = []

    def note(due: int, at: int) -> int:
        called.append((due, at))
        return 0

    for due in dues:
        wheel.add(due, note)
    previous = now
    for step in [*steps, Wheel.SPAN_NS + Wheel.TICK_NS]:
        before = len(called)
        now += step
        wheel.turn(lambda at=now: at)  # type: ignore[misc]
        for due, at in called[before:]:
            assert due < at == now
            assert due >= previous - Wheel.TICK_NS, "it was due in an earlier turn"
        previous = now
    assert sorted(due for due, _ in called) == sorted(dues)


def test_the_wheel_goes_on_as_long_as_it_is_asked_to() -> None:
    now = 0
    wheel = Wheel(now)
    called: list[int] = []

    def every_20_ms(due: int, at: int) -> int:
        called.append(due)
        return due + 20_000_000 if len(called) < 5 else 0

    wheel.add(0, every_20_ms)
    for now in range(0, 200_000_000, 700_000):
        wheel.turn(lambda at=now: at)  # type: ignore[misc]
    assert called == [0, 20_000_000, 40_000_000, 60_000_000, 80_000_000], "the rate drifts"


def test_what_is_too_far_away_waits_for_another_turn_of_the_wheel() -> None:
    """After a stall the clock is ahead of the wheel, and a due may lie further away than there are spokes."""
    wheel = Wheel(0)
    called: list[int] = []

    def note(due: int, at: int) -> int:
        called.append(at)
        return 0

    due = 3 * Wheel.SPAN_NS
    wheel.add(due, note)
    for now in range(0, due + 2 * Wheel.TICK_NS, Wheel.TICK_NS):
        wheel.turn(lambda at=now: at)  # type: ignore[misc]
    assert len(called) == 1
    assert due <= called[0] <= due + 2 * Wheel.TICK_NS


def record(size: int, kind: int = 22) -> bytes:
    return bytes((kind, 0xFE, 0xFD)) + bytes(8) + size.to_bytes(2, "big") + bytes(size)


@given(st.lists(st.integers(0, MAX_DATAGRAM - 13), max_size=12))
def test_records_are_packed_whole(sizes: list[int]) -> None:
    records = [record(size) for size in sizes]
    packed = datagrams(b"".join(records))
    assert b"".join(packed) == b"".join(records)
    assert all(len(datagram) <= MAX_DATAGRAM for datagram in packed)
    ends = {sum(map(len, records[:place])) for place in range(len(records) + 1)}
    assert all(sum(map(len, packed[:place])) in ends for place in range(len(packed))), "a record was cut"


def test_records_of_dtls_1_3_stay_together() -> None:
    unified = bytes((0x2F,)) + bytes(300)
    assert datagrams(unified) == [unified]
    assert datagrams(b"") == []


@given(st.integers(1, 3_000_000))
def test_a_frame_becomes_equal_packets(octets: int) -> None:
    packets, size = split_frame(octets)
    assert size <= VP8_PAYLOAD and packets * size >= octets
    assert packets == 1 or (packets - 1) * VP8_PAYLOAD < octets


@pytest.mark.parametrize("keyframe", [True, False])
def test_a_packet_is_what_the_sfu_takes_for_vp8(keyframe: bool) -> None:
    ids = {ABS_SEND_TIME: 2, TRANSPORT_CC: 3, MID: 4, AUDIO_LEVEL: 1, "urn:unknown": 9}
    stream = Stream(run=1, number=3, ssrc=0xABCD, payload_type=96, mid="1", ids=ids)
    buffer = bytearray(2000)
    at = 100
    payload = stream.write(buffer, at, 500, True, 0x1234, now=3_500_000_000)
    vp8_head(buffer, payload, 7, first=True, keyframe=keyframe)
    packet = bytes(buffer[at : payload + 500])
    start, end, extension, profile = parse_payload(packet, len(packet))
    assert (start, end) == (payload - at, len(packet))
    found = {
        number: packet[place : place + size]
        for number, place, size in parse_extensions(packet, extension, start, profile)
    }
    # 3.5 s in 6.18 fixed point.
    assert found == {2: (7 << 17).to_bytes(3, "big"), 3: b"\x12\x34", 4: b"1", 1: bytes((0x80 | 30,))}
    assert packet[1] == 0x80 | 96 and packet[8:12] == b"\x00\x00\xab\xcd"
    assert vp8_keyframe(packet, start, end) is keyframe
    assert bytes(buffer[:at]) == bytes(at), "it wrote in front of the packet"


def test_no_extension_is_sent_that_the_answer_did_not_take() -> None:
    stream = Stream(run=1, number=0, ssrc=1, payload_type=111, mid="0", ids={})
    buffer = bytearray(200)
    assert stream.write(buffer, 0, 100, False, 9, now=1) == 12
    assert buffer[0] == 0x80


def test_reports_count_what_is_missing() -> None:
    incoming = Incoming(65530, 90_000)
    numbers = [65530, 65531, 65534, 65535, 0, 3]
    gaps = [incoming.arrived(number, number * 3000, 1_000_000_000) for number in numbers]
    assert gaps == [[], [], [65532, 65533], [], [], [1, 2]]
    block = incoming.block(0x99, 2_000_000_000)
    assert (block.lost, block.highest, block.fraction_lost) == (4, 65536 + 3, 4 * 256 // 10)
    for number in range(4, 10):
        incoming.arrived(number, 0, 1_100_000_000)
    assert incoming.block(0x99, 2_000_000_000).fraction_lost == 0, (
        "the fraction is of the time since the last report"
    )


def test_ntp_time() -> None:
    assert ntp_of(1_500_000_000) == (2_208_988_801 << 32) + (1 << 31)
