"""Metrics of the ledger."""

from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from aistack.jobs.ledger import JobTotals, Ledger
from aistack.monitoring.stored import StoredMetrics


class JobMetrics(StoredMetrics[Sequence[JobTotals]]):
    """Starts, ends and times of every job."""

    readable = ("aistack_job_ledger_readable", "Whether the last try to read the job ledger worked")
    what = "the job ledger"

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    async def read(self) -> Sequence[JobTotals]:
        """The totals of every job."""
        return await self._ledger.totals()

    def families(self, found: Sequence[JobTotals] | None) -> Iterator[Metric]:
        """The totals as metrics."""
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
        for one in found or ():
            started.add_metric([one.job], one.started)
            runs.add_metric([one.job, "ok"], one.ok)
            runs.add_metric([one.job, "failed"], one.failed)
            if one.last_ok is not None:
                success.add_metric([one.job], one.last_ok)
            if one.last_failed is not None:
                failure.add_metric([one.job], one.last_failed)
        yield from (started, runs, success, failure)
        yield from _renewals(next((one for one in found or () if one.job == "tls_renew"), None))


def _renewals(total: JobTotals | None) -> Iterator[Metric]:
    """Those of the certificate's renewal, which alerts know by names of their own."""
    if total is None:
        return
    yield CounterMetricFamily(
        "aistack_tls_renewal_failures", "Renewals of the certificate that failed",
        value=total.failed,
    )  # fmt: skip
    if total.last_ok is not None:
        yield GaugeMetricFamily(
            "aistack_tls_renewal_last_success_timestamp",
            "When the certificate was last renewed, or seen not to be due, since 1970",
            value=total.last_ok,
        )
