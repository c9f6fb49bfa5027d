"""From statistics to a judgement: how good a person's line is, from 1 to 5, and what is to blame. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log

from media.api import Cause, PeerStats, StreamStats

GOOD = 3.5  # from here on there is nothing to blame
SILENT = 2.5  # seconds without any packet, RTCP included, of a client that reports every second
STALLED = 0.02  # share of recent time in which the server itself was late

# E-model, ITU-T G.107: the rating of an undisturbed narrow-band call, and of packet loss with
# Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl). There is no published Bpl for Opus; 25.1 is that of G.711 with
# concealment (G.113 appendix I), which Opus with in-band FEC should not fall behind.
RATING = 93.2
ROBUSTNESS = 25.1
# Delay: Id = 0.024 d + 0.11 (d - 177.3) H(d - 177.3), d in ms (R. Cole, J. Rosenbluth, "Voice over IP performance
# monitoring", 2001). Frame, look-ahead and the far end's line are counted as 60 ms.
FIXED_DELAY = 60.0
BEND = 177.3

# Video: 1 + I exp(-loss / D) as in the opinion model for video telephony, ITU-T G.1070, with factors of our own.
LOSS_SCALE = 0.10  # of the packets; most losses are repaired, which costs delay
FREEZE_SCALE = 0.15  # of the time
STARVED = 0.01  # bits per pixel below which VP8 shows blocks in anything that moves
BLOCKS = 1.0  # at most so many points for it: a still picture needs few bits and is fine


def quality_of(stats: PeerStats) -> tuple[int, Cause | None]:
    """How good this peer's own line is, 1 (unusable) to 5 (undisturbed), and the cause where it is below 4.

    `uplink` is from the client to the server, `downlink` from the server to it, `server` a server that is late.
    A line is as good as the worse of its two directions, a direction as good as its worse medium.
    """
    if stats.silent_seconds > SILENT:
        return 1, "uplink"
    up = _direction(_best_layers(s for s in stats.streams if s.direction == "in"))
    down = _direction([s for s in stats.streams if s.direction == "out"])
    score = min(up, down)
    stalled = stats.stalled > STALLED
    if stalled:
        score = min(score, _freezing(stats.stalled))
    if score >= GOOD:
        return round(score), None
    if stalled:
        return _bounded(score), "server"
    return _bounded(score), "uplink" if up <= down else "downlink"


def stream_score(stats: StreamStats) -> float:
    """One stream, 1 to 5."""
    return _audio(stats) if stats.kind == "audio" else _video(stats)


def _bounded(score: float) -> int:
    return min(3, max(1, round(score)))  # what has a cause does not look undisturbed


def _best_layers(streams: Iterable[StreamStats]) -> list[StreamStats]:
    """One stream of each m-line: of simulcast layers the one with most bits."""
    best: dict[str, StreamStats] = {}
    for stream in streams:
        held = best.get(stream.mid)
        if held is None or stream.bitrate_bps > held.bitrate_bps:
            best[stream.mid] = stream
    return list(best.values())


def _direction(streams: Iterable[StreamStats]) -> float:
    scores: dict[str, list[float]] = {}
    for stream in streams:
        if stream.bitrate_bps > 0 or stream.paused or stream.frozen > 0:  # else muted, or a free slot
            scores.setdefault(stream.kind, []).append(stream_score(stream))
    return min((sum(each) / len(each) for each in scores.values()), default=5.0)


def _audio(stats: StreamStats) -> float:
    delay = 1000 * ((stats.rtt_seconds or 0.0) / 2 + 2 * stats.jitter_seconds) + FIXED_DELAY
    loss = 100 * stats.loss
    rating = RATING - 0.024 * (delay - FIXED_DELAY) - 0.11 * max(0.0, delay - BEND)
    rating -= 95 * loss / (loss + ROBUSTNESS)
    # G.107's opinion score ends at 4.4 for an undisturbed call; stretched, so that 5 can be reached.
    return 1 + 4 * (_opinion(rating) - 1) / (_opinion(RATING) - 1)


def _opinion(rating: float) -> float:
    """From rating to mean opinion score, G.107 annex B."""
    if rating <= 0:
        return 1.0
    return max(1.0, 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6)


def _video(stats: StreamStats) -> float:
    if stats.paused:
        return 1.0
    coding = 4.0
    if stats.height and stats.best_height > stats.height:
        lines = log(stats.best_height / stats.height, 2)  # a step of simulcast halves them
        coding -= min(2.0, 0.9 * lines)
    if stats.height and stats.frame_rate >= 0.1 and stats.bitrate_bps >= 1:
        pixels = stats.height * stats.height * 16 / 9
        density = stats.bitrate_bps / (pixels * stats.frame_rate)
        coding -= min(BLOCKS, max(0.0, log(STARVED / density, 4)))
    return 1 + coding * exp(-stats.loss / LOSS_SCALE) * exp(-stats.frozen / FREEZE_SCALE)


def _freezing(share: float) -> float:
    return 1 + 4 * exp(-share / FREEZE_SCALE)
