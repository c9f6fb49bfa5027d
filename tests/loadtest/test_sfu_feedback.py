"""The feedback that the benchmark's clients write is read back by the server's reader as what was noted."""

from hypothesis import given
from hypothesis import strategies as st

from loadtest.sfu.feedback import Arrivals
from media import rtcp

STEADY = st.lists(st.tuples(st.just(1), st.integers(0, 60_000_000)), min_size=1, max_size=450)
GAPS = STEADY | st.lists(
    st.tuples(st.integers(1, 40), st.integers(-3_000_000, 90_000_000)), min_size=1, max_size=300
)


@given(start=st.integers(0, 0xFFFF), gaps=GAPS, now=st.integers(10**18, 2 * 10**18))
def test_every_packet_is_reported_with_its_time(start: int, gaps: list[tuple[int, int]], now: int) -> None:
    arrivals = Arrivals()
    noted: dict[int, int] = {}
    number, at = start, now
    for step, pause in gaps:
        number, at = number + step, at + pause
        arrivals.note(number & 0xFFFF, at)
        noted[number & 0xFFFF] = at
    reported: dict[int, int] = {}
    for data in arrivals.take(1, 2):
        (packet,) = rtcp.parse(data, len(data))
        assert isinstance(packet, rtcp.TransportFeedback)
        for place, ticks in enumerate(packet.arrivals):
            if ticks is not None:
                reported[packet.base + place & 0xFFFF] = packet.reference * 64_000_000 + ticks * 250_000
    assert reported.keys() == noted.keys()
    cycle = (1 << 24) * 64_000_000  # the reference time is a 24-bit count
    for known, moment in noted.items():
        assert 0 <= (moment - reported[known]) % cycle < 250_000
    assert arrivals.take(1, 2) == []
