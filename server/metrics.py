"""The figures in Prometheus' terms and under their published names: requests, sockets, media, jobs, the outbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import asyncpg
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from jobs.store import JobFigures, figures, reply_figures
from media import DELAY_EDGES, Counters
from server.base.db import Pool
from server.base.store import outbox_figures

log = structlog.get_logger(__name__)

CACHE_SECONDS = 5.0  # scrapes come every 15 s; several scrapers share one look
QUESTION_SECONDS = 2.0
# Pages take a few milliseconds, password hashes tens, and what takes seconds is an incident.
WEBHOOKS = ("whatsapp", "sms")
REQUEST_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database knows, at one moment."""

    jobs: tuple[JobFigures, ...] = ()
    outbox_pending: int = 0
    dead_letters: int = 0
    replies: Mapping[str, int] = field(default_factory=dict)


class Metrics:
    """One registry per process. ``media`` and ``sockets`` are asked at each scrape, the database at most every 5 s."""

    def __init__(self, pool: Pool, media: Callable[[], Counters], sockets: Callable[[], int]) -> None:
        self._pool = pool
        self._stored: Stored | None = None
        self._looked_at = -CACHE_SECONDS
        self.registry = CollectorRegistry()
        self.request_seconds = Histogram(
            "visavis_http_request_seconds",
            "Time to answer, by route template.",
            ("route", "method", "status"),
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self.uncounted = Counter(
            "visavis_rate_limit_uncounted",
            "Requests that passed a rate limit uncounted, because Redis did not answer.",
            registry=self.registry,
        )
        self.webhook_rejected = Counter(
            "visavis_webhook_rejected",
            "Posts to a provider's webhook whose signature is not the provider's.",
            ("channel",),
            registry=self.registry,
        )
        for channel in WEBHOOKS:  # a rate needs a zero to rise from
            self.webhook_rejected.labels(channel)
        self.registry.register(_Asked(lambda: _of_media(media(), sockets())))
        self.registry.register(_Asked(lambda: _of_stored(self._stored)))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    async def exposition(self) -> tuple[bytes, str]:
        """The text format and its media type. With the database away, its last known figures are left out."""
        await self._look()
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    async def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < CACHE_SECONDS:
            return
        self._looked_at = now
        try:
            async with self._pool.acquire(timeout=QUESTION_SECONDS) as conn:
                pending, dead = await outbox_figures(conn)
                self._stored = Stored(tuple(await figures(conn)), pending, dead, await reply_figures(conn))
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            # Old figures would look like good ones: better none.
            self._stored = None
            log.warning("no figures from the database", error=repr(error))


class _Asked(Collector):
    """A collector that asks when it is scraped."""

    def __init__(self, ask: Callable[[], Iterator[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        return self._ask()

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing is asked at registration


def _of_media(counters: Counters, sockets: int) -> Iterator[Metric]:
    yield GaugeMetricFamily("visavis_ws_connections", "Open WebSockets.", value=sockets)
    yield GaugeMetricFamily("visavis_media_rooms", "Rooms with somebody in them.", value=counters.rooms)
    yield GaugeMetricFamily("visavis_media_peers", "Peers of the media server.", value=counters.peers)
    packets = CounterMetricFamily("visavis_media_packets", "Media packets.", labels=("direction",))
    packets.add_metric(("in",), counters.packets_in)
    packets.add_metric(("out",), counters.packets_out)
    yield packets
    size = CounterMetricFamily("visavis_media_bytes", "Bytes of media packets.", labels=("direction",))
    size.add_metric(("in",), counters.bytes_in)
    size.add_metric(("out",), counters.bytes_out)
    yield size
    drops = CounterMetricFamily("visavis_media_drops", "Datagrams not used, by reason.", labels=("reason",))
    for reason, count in sorted(counters.drops.items()):
        drops.add_metric((reason,), count)
    yield drops
    yield GaugeMetricFamily(
        "visavis_media_tcp_connections",
        "ICE-TCP connections on the media port.",
        value=counters.tcp_connections,
    )
    yield GaugeMetricFamily(
        "visavis_media_receive_buffer_bytes",
        "What the kernel granted the media socket.",
        value=counters.receive_buffer_bytes,
    )
    forward = HistogramMetricFamily(
        "visavis_media_forward_seconds", "From receiving a packet to sending it on."
    )
    forward.add_metric((), _cumulative(counters.delay_counts), counters.delay_sum_seconds)
    yield forward
    yield from _of_quality(counters)


def _of_quality(counters: Counters) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "visavis_media_data_messages", "Messages of data channels, delivered.", value=counters.data_messages
    )
    freezes = CounterMetricFamily(
        "visavis_media_freezes", "Pictures that stood still, by direction.", labels=("direction",)
    )
    freezes.add_metric(("in",), counters.freezes_in)
    freezes.add_metric(("out",), counters.freezes_out)
    yield freezes
    seconds = CounterMetricFamily(
        "visavis_media_freeze_seconds", "How long pictures stood still.", labels=("direction",)
    )
    seconds.add_metric(("in",), counters.freeze_seconds_in)
    seconds.add_metric(("out",), counters.freeze_seconds_out)
    yield seconds
    yield CounterMetricFamily(
        "visavis_media_stalls", "Times the media loop was late by 0.1 s or more.", value=counters.stalls
    )
    yield CounterMetricFamily(
        "visavis_media_stall_seconds", "How late it was, summed.", value=counters.stall_seconds
    )
    quality = HistogramMetricFamily(
        "visavis_media_quality_score", "The quality of people's lines, 1 to 5, whenever it was looked at."
    )
    total, buckets = 0, []
    for score, count in enumerate(counters.quality_counts, 1):
        total += count
        buckets.append((str(float(score)), float(total)))
    buckets.append(("+Inf", float(total)))
    quality.add_metric((), buckets, sum(s * n for s, n in enumerate(counters.quality_counts, 1)))
    yield quality


def _cumulative(counts: tuple[int, ...]) -> list[tuple[str, float]]:
    """Prometheus' buckets hold everything up to their edge; ours hold what lies between two edges."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for edge, count in zip((*map(str, DELAY_EDGES), "+Inf"), counts, strict=True):
        total += count
        buckets.append((edge, total))
    return buckets


def _of_stored(stored: Stored | None) -> Iterator[Metric]:
    """Job metrics come out of the table: the workers serve nothing themselves."""
    runs = CounterMetricFamily(
        "visavis_job_runs", "Finished runs of periodic jobs.", labels=("job", "result")
    )
    seconds = SummaryMetricFamily("visavis_job_seconds", "Time that runs took.", labels=("job",))
    lateness = GaugeMetricFamily(
        "visavis_job_lateness_seconds", "From the due time to the start of the last run.", labels=("job",)
    )
    for job in stored.jobs if stored else ():
        runs.add_metric((job.job, "ok"), job.ok)
        runs.add_metric((job.job, "failed"), job.failed)
        runs.add_metric((job.job, "skipped"), job.skipped)
        seconds.add_metric((job.job,), count_value=job.ok + job.failed, sum_value=job.seconds)
        if job.last_lateness is not None:
            lateness.add_metric((job.job,), job.last_lateness)
    yield runs
    yield seconds
    yield lateness
    pending = GaugeMetricFamily("visavis_outbox_pending", "Facts that wait for their reactions.")
    dead = GaugeMetricFamily("visavis_dead_letters", "Reactions and messages that were given up.")
    if stored is not None:
        pending.add_metric((), stored.outbox_pending)
        dead.add_metric((), stored.dead_letters)
    yield pending
    yield dead
    replies = CounterMetricFamily("visavis_replies", "Replies of people, by result.", labels=("result",))
    for result, count in sorted(stored.replies.items()) if stored else ():
        replies.add_metric((result,), count)
    yield replies
