"""What is stamped is read back, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest import stamp

WORD = st.integers(0, 2**32 - 1)


@given(st.binary(max_size=60), st.binary(max_size=60), WORD, WORD, WORD, st.integers(0, 2**64 - 1))
def test_round_trip(before: bytes, after: bytes, run: int, stream: int, index: int, sent_ns: int) -> None:
    buffer = bytearray(before + bytes(stamp.SIZE) + after)
    end = len(before) + stamp.SIZE
    stamp.write(buffer, end, run, stream, index, sent_ns)
    assert stamp.read(buffer, 0, end, run) == (stream, index, sent_ns)
    assert buffer[: len(before)] == before and buffer[end:] == after, "more than the stamp was written"


@given(WORD, WORD)
def test_another_runs_packets_are_not_ours(run: int, other: int) -> None:
    buffer = bytearray(stamp.SIZE)
    stamp.write(buffer, stamp.SIZE, run, 1, 2, 3)
    assert (stamp.read(buffer, 0, stamp.SIZE, other) is None) == (run != other)


@given(st.integers(0, stamp.SIZE - 1))
def test_a_short_payload_has_no_stamp(size: int) -> None:
    assert stamp.read(bytes(100), 100 - size, 100, 0) is None
