"""Metrics of garbage collection: a run ends before it could be scraped, PostgreSQL keeps them."""

from collections.abc import Iterator
from typing import get_args

from msgspec import Struct
from prometheus_client import Metric

from aistack.gc.model import TIERS, Reason, Result, SweepKind
from aistack.monitoring.contract import gc
from aistack.monitoring.stored import StoredMetrics
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_REASONS = get_args(Reason)
_RESULTS = get_args(Result)
_KINDS = get_args(SweepKind)


class Totals(Struct, frozen=True):
    """What PostgreSQL keeps."""

    counted: dict[tuple[str, str], float]
    """By metric and label."""
    in_trash: int
    storage_bytes: int
    last_success: float | None
    """Seconds since 1970."""


class GcMetrics(StoredMetrics[Totals]):
    """What was deleted, how the runs ended, and what the store takes."""

    readable = gc.READABLE
    what = "the totals of garbage collection"

    def __init__(self, postgres: Postgres) -> None:
        super().__init__()
        self._postgres = postgres

    async def read(self) -> Totals:
        """The totals, and the store as it is now."""
        rows = await self._postgres.fetch(_QUERIES["totals"], {})
        (stored,) = await self._postgres.fetch(_QUERIES["stored"], {})
        return Totals(
            counted={(row["metric"], row["label"]): row["value"] for row in rows}, **stored
        )

    def families(self, found: Totals | None) -> Iterator[Metric]:
        """The totals as metrics; a label that never counted is 0, so that a first one is seen."""
        if found is None:
            return
        deleted = gc.DELETED.family()
        for reason in _REASONS:
            deleted.add_metric([reason], found.counted.get(("deleted", reason), 0.0))
        swept = gc.SWEPT.family()
        for kind in _KINDS:
            swept.add_metric([kind], found.counted.get(("swept", kind), 0.0))
        runs = gc.RUNS.family()
        for result in _RESULTS:
            runs.add_metric([result], found.counted.get(("runs", result), 0.0))
        seconds = gc.SECONDS.family()
        for tier in TIERS:
            seconds.add_metric(
                [tier],
                count_value=int(found.counted.get(("passes", tier), 0)),
                sum_value=found.counted.get(("seconds", tier), 0.0),
            )
        yield from (deleted, swept, runs, seconds)
        yield gc.RESTORED.family(found.counted.get(("restored", ""), 0.0))
        yield gc.STORAGE.family(found.storage_bytes)
        yield gc.TRASH.family(found.in_trash)
        if found.last_success is not None:
            yield gc.LAST_SUCCESS.family(found.last_success)
