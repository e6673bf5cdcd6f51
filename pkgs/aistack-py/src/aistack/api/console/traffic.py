"""Throughput and latency of the last hour, sampled from the metrics of all workers.

It lies in the memory of one process: a restart begins anew, and of several instances each tells its
own. Prometheus remembers more.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from aistack.monitoring.contract import http
from aistack.monitoring.metrics import NOT_WHOLE, Metrics

log = logging.getLogger(__name__)

PERIOD_S = 15.0
HOUR_S = 3600
_SAMPLES = int(HOUR_S / PERIOD_S) + 1
_FAMILIES = {http.REQUESTS.name.removesuffix("_total"), http.REQUEST_SECONDS.name}
_ASIDE = ("/health/", "/console", "/metrics")
"""Routes of those who look after the service: they would hide its users."""


class Sample(NamedTuple):
    """The counters at one moment."""

    at: float
    """Seconds since 1970."""
    answered: float
    refused: float
    """Statuses 400 to 499."""
    failed: float
    """Statuses from 500 on."""
    buckets: tuple[tuple[float, float], ...]
    """Upper bound in seconds, and the requests that took at most so long."""


class Point(NamedTuple):
    """What happened between two samples: requests a second, and seconds (None: no request)."""

    at: float
    answered: float
    refused: float
    failed: float
    p50: float | None
    p95: float | None
    p99: float | None


class Traffic:
    """A ring of samples."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.samples: deque[Sample] = deque(maxlen=_SAMPLES)

    async def run(self) -> None:
        """Sample until cancelled; with several workers that reads files, so not in the loop."""
        while True:
            try:
                self.samples.append(await asyncio.to_thread(self.sample))
            except NOT_WHOLE as exc:
                log.warning("the metrics could not be read: %s", exc)
            await asyncio.sleep(PERIOD_S)

    def points(self) -> list[Point]:
        """The last hour, oldest first."""
        samples = list(self.samples)
        return [between(a, b) for a, b in pairwise(samples)]

    def sample(self) -> Sample:
        """The counters as they are now."""
        return read(self._metrics.of_all_workers(), time.time())


def read(registry: CollectorRegistry, at: float) -> Sample:
    """Add up what a registry tells of requests."""
    statuses = [0.0, 0.0, 0.0]
    buckets: dict[float, float] = {}
    for family in registry.collect():
        if family.name not in _FAMILIES:
            continue
        for sample in family.samples:
            if sample.labels.get("route", "").startswith(_ASIDE):
                continue
            if sample.name == http.REQUESTS.name:
                statuses[_kind(sample.labels["status"])] += sample.value
            elif sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
    answered, refused, failed = statuses
    return Sample(at, answered, refused, failed, tuple(sorted(buckets.items())))


def between(before: Sample, after: Sample) -> Point:
    """The rates between two samples."""
    seconds = max(after.at - before.at, 1e-9)
    rates = [
        max(0.0, new - old) / seconds
        for old, new in zip(before[1:4], after[1:4], strict=True)
    ]  # fmt: skip
    known = dict(before.buckets)
    grown = [(bound, max(0.0, n - known.get(bound, 0.0))) for bound, n in after.buckets]
    answered, refused, failed = rates
    p50, p95, p99 = (quantile(grown, share) for share in (0.5, 0.95, 0.99))
    return Point(after.at, answered, refused, failed, p50, p95, p99)


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """The seconds within which a share of requests was answered, as Prometheus estimates it.

    Args:
        buckets: upper bounds, and how many requests took at most so long, growing.
        share: from 0 to 1.
    """
    total = buckets[-1][1] if buckets else 0.0
    if not total:
        return None
    rank, low, below = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low


def _kind(status: str) -> int:
    return 2 if status >= "500" else 1 if status >= "400" else 0
