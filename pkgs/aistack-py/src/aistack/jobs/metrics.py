"""Metrics of the ledger."""

from collections.abc import Iterator, Sequence

from prometheus_client import Metric

from aistack.jobs.ledger import JobTotals, Ledger
from aistack.monitoring.contract import jobs
from aistack.monitoring.stored import StoredMetrics


class JobMetrics(StoredMetrics[Sequence[JobTotals]]):
    """Starts, ends and times of every job."""

    readable = jobs.READABLE
    what = "the job ledger"

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    async def read(self) -> Sequence[JobTotals]:
        """The totals of every job."""
        return await self._ledger.totals()

    def families(self, found: Sequence[JobTotals] | None) -> Iterator[Metric]:
        """The totals as metrics."""
        started, runs = jobs.STARTS.family(), jobs.RUNS.family()
        success, failure = jobs.LAST_SUCCESS.family(), jobs.LAST_FAILURE.family()
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
    yield jobs.RENEWAL_FAILURES.family(total.failed)
    if total.last_ok is not None:
        yield jobs.RENEWAL_SUCCESS.family(total.last_ok)
