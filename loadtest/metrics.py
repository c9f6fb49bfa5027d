"""Reads the server's own figures from /metrics, as differences between two moments."""

import re
from dataclasses import dataclass

import aiohttp

from loadtest.options import LoadError
from loadtest.quantiles import from_buckets

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """Prometheus text as (name, labels) -> value; comments and what is not a number are passed over."""
    samples: Samples = {}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found is None:
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        samples[found[1], frozenset(_LABEL.findall(found[2] or ""))] = value
    return samples


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """What the server says of the `seconds` between two readings; None where it says nothing of the kind."""

    seconds: float
    cpu_seconds: float | None
    packets_in: float | None
    packets_out: float | None
    forward_p99_ms: float | None
    drops: dict[str, int]


def difference(before: Samples, after: Samples, seconds: float) -> ServerFigures:
    """The figures of the `seconds` between two readings."""

    def grown(name: str, **labels: str) -> float | None:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0.0) if key in after else None

    buckets = sorted(
        (float(dict(labels)["le"]), value - before.get((name, labels), 0.0))
        for (name, labels), value in after.items()
        if name == "visavis_media_forward_seconds_bucket" and "le" in dict(labels)
    )
    p99 = from_buckets(buckets, 99)
    drops = {
        dict(labels).get("reason", ""): int(value - before.get((name, labels), 0.0))
        for (name, labels), value in after.items()
        if name == "visavis_media_drops_total"
    }
    return ServerFigures(
        seconds=seconds,
        cpu_seconds=grown("process_cpu_seconds_total"),
        packets_in=grown("visavis_media_packets_total", direction="in"),
        packets_out=grown("visavis_media_packets_total", direction="out"),
        forward_p99_ms=None if p99 is None else p99 * 1000,
        drops={reason: count for reason, count in sorted(drops.items()) if count},
    )


async def read(http: aiohttp.ClientSession, base: str) -> Samples:
    """One reading. Raises LoadError."""
    try:
        async with http.get(f"{base}/metrics", timeout=aiohttp.ClientTimeout(total=10)) as reply:
            if reply.status != 200:
                raise LoadError(f"GET /metrics: {reply.status}")
            return parse(await reply.text())
    except (aiohttp.ClientError, TimeoutError) as error:
        raise LoadError(f"GET /metrics: no usable answer ({str(error) or type(error).__name__})") from error
