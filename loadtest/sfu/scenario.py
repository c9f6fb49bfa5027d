"""What is put on an SFU, and what it is measured against."""

from dataclasses import dataclass

from loadtest.options import Load


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a room. Numbers are unique in a run."""

    room: str
    number: int
    sends: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rooms` rooms with `speakers` who send and see each other, and `viewers` who only look on."""

    name: str
    title: str
    rooms: int
    speakers: int
    viewers: int
    load: Load
    decrypt: int = 1  # one packet in so many is decrypted and timed by its receiver; all are counted
    compared: bool = False  # run in turn with the peer, for the ratio of CPU per packet
    ratio_goal: float | None = None  # CPU per packet, ours over the peer's
    p99_goal_ms: float | None = None
    memory_goal_kb: float | None = None

    @property
    def participants(self) -> int:
        return self.rooms * (self.speakers + self.viewers)

    def people(self) -> tuple[Person, ...]:
        """Everybody, speakers of a room before its viewers."""
        size = self.speakers + self.viewers
        return tuple(
            Person(f"{self.name}-{room}", room * size + seat, seat < self.speakers)
            for room in range(self.rooms)
            for seat in range(size)
        )


LEAST_RATIO = 0.85
CALL_KBPS, WEBINAR_KBPS, CROWD_KBPS = 800, 2500, 1200

# 800 kb/s are some three packets a frame, 2,500 kb/s ten.
SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "calls", "60 one-to-one rooms", 60, 2, 0, Load(video_kbps=CALL_KBPS),
        decrypt=4, compared=True, ratio_goal=0.60, memory_goal_kb=180.0,
    ),
    Scenario(
        "webinar", "webinar 1 to 150, bursts", 1, 1, 150, Load(video_kbps=WEBINAR_KBPS),
        decrypt=16, compared=True, ratio_goal=0.60,
    ),
    Scenario(
        "paced", "webinar 1 to 150, paced", 1, 1, 150, Load(video_kbps=WEBINAR_KBPS, paced=True),
        decrypt=16, compared=True, ratio_goal=0.75,
    ),
    Scenario(
        "calls120", "120 one-to-one rooms", 120, 2, 0, Load(video_kbps=CALL_KBPS), decrypt=8, p99_goal_ms=10.0
    ),
    Scenario(
        "crowd", "webinar 1 to 400, bursts", 1, 1, 400, Load(video_kbps=CROWD_KBPS), decrypt=32, p99_goal_ms=40.0
    ),
)  # fmt: skip

# A glance at whether everything works; its figures say nothing, so it has no goals.
QUICK: tuple[Scenario, ...] = (
    Scenario("calls", "2 one-to-one rooms", 2, 2, 0, Load(video_kbps=300), compared=True),
    Scenario(
        "webinar", "webinar 1 to 4, bursts", 1, 1, 4, Load(video_kbps=CALL_KBPS), decrypt=2, compared=True
    ),
    Scenario("paced", "webinar 1 to 3, paced", 1, 1, 3, Load(video_kbps=CALL_KBPS, paced=True), decrypt=2),
)
