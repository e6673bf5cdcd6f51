"""Metrics of the ledger: read from PostgreSQL when they are scraped, and kept for a moment."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

import psycopg
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from aistack.errors import UnavailableError
from aistack.jobs.ledger import JobTotals, Ledger

log = logging.getLogger(__name__)

_KEPT_S = 10.0
"""Several scrapers, or workers, ask PostgreSQL once in this time."""
_PATIENCE_S = 2.0
"""A scrape that takes longer is thrown away by its scraper, with all other metrics in it."""


class JobMetrics:
    """A collector with a registry of its own: these are not of one process, nor of its workers.

    Prometheus collects without waiting, PostgreSQL is asked with it: so `render` asks first. While
    the database does not answer, what was read last is still told (it was true, and stays so) and
    ``aistack_job_ledger_readable`` is 0.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._totals: Sequence[JobTotals] = ()
        self._readable = False
        self._next = 0.0
        self._lock = asyncio.Lock()
        self._reading: asyncio.Task[Sequence[JobTotals]] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def render(self) -> bytes:
        """The exposition text, to stand behind that of the process."""
        await self.refresh()
        return generate_latest(self._registry)

    async def refresh(self) -> None:
        """Read the totals unless that was done a moment ago; never raises for a dead database."""
        async with self._lock:
            if time.monotonic() < self._next:
                return
            try:
                # Not asyncio.timeout: psycopg, cancelled, waits for the server's word.
                if self._reading is None:
                    self._reading = asyncio.create_task(self._ledger.totals())
                done, _ = await asyncio.wait([self._reading], timeout=_PATIENCE_S)
                self._readable = bool(done)
                if done:
                    reading, self._reading = self._reading, None
                    self._totals = reading.result()
                else:
                    log.warning("the job ledger cannot be read: no answer in time")
            except (UnavailableError, psycopg.Error) as exc:
                self._readable = False
                log.warning("the job ledger cannot be read: %s", exc)
            self._next = time.monotonic() + _KEPT_S

    def describe(self) -> list[Metric]:
        """Nothing: it is known when it is read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of what was read last."""
        readable = GaugeMetricFamily(
            "aistack_job_ledger_readable", "Whether the last try to read the job ledger worked"
        )
        readable.add_metric([], float(self._readable))
        yield readable
        started = CounterMetricFamily(
            "aistack_job_starts", "Runs that were started; those without outcome were killed",
            labels=["job"],
        )  # fmt: skip
        runs = CounterMetricFamily(
            "aistack_job_runs", "Runs that ended, by outcome", labels=["job", "outcome"]
        )
        success = GaugeMetricFamily(
            "aistack_job_last_success_timestamp_seconds", "End of the last run that worked",
            labels=["job"],
        )  # fmt: skip
        failure = GaugeMetricFamily(
            "aistack_job_last_failure_timestamp_seconds", "End of the last run that failed",
            labels=["job"],
        )  # fmt: skip
        for one in self._totals:
            started.add_metric([one.job], one.started)
            runs.add_metric([one.job, "ok"], one.ok)
            runs.add_metric([one.job, "failed"], one.failed)
            if one.last_ok is not None:
                success.add_metric([one.job], one.last_ok)
            if one.last_failed is not None:
                failure.add_metric([one.job], one.last_failed)
        yield from (started, runs, success, failure)
