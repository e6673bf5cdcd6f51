"""Metrics of the tracker: PostgreSQL keeps them; the depth of the spool is this host's."""

import asyncio
from collections.abc import Iterator
from itertools import product

from msgspec import Struct
from prometheus_client import Metric

from aistack.issues.model import CATEGORIES, SEVERITIES
from aistack.issues.spool import Depth, Spool
from aistack.monitoring.contract import issues
from aistack.monitoring.stored import StoredMetrics
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.issues", "issues.sql")


class Totals(Struct, frozen=True):
    """What PostgreSQL keeps."""

    counted: dict[tuple[str, str, str], float]
    """By metric, severity and category."""
    active: dict[tuple[str, str], int]


class IssueMetrics(StoredMetrics[Totals]):
    """Issues by severity and category, and what waits in the spool."""

    readable = issues.READABLE
    what = "the totals of issues"

    def __init__(self, postgres: Postgres, spool: Spool | None) -> None:
        super().__init__()
        self._postgres = postgres
        self._spool = spool
        self._depth: Depth | None = None

    async def read(self) -> Totals:
        """The totals, and how many issues are active now."""
        rows = await self._postgres.fetch(_QUERIES["totals"], {})
        active = await self._postgres.fetch(_QUERIES["active"], {})
        return Totals(
            {(r["metric"], r["severity"], r["category"]): r["value"] for r in rows},
            {(r["severity"], r["category"]): r["issues"] for r in active},
        )

    async def refresh(self) -> None:
        """Look at the spool each time: it matters most while PostgreSQL is away."""
        if self._spool is not None:
            self._depth = await asyncio.to_thread(self._spool.depth)
        await super().refresh()

    def families(self, found: Totals | None) -> Iterator[Metric]:
        """The totals as metrics; a label that never counted is 0, so that a first one is seen."""
        if self._depth is not None:
            yield issues.SPOOL_BYTES.family(self._depth.bytes)
            yield issues.SPOOL_AGE.family(self._depth.age_s)
        if found is None:
            return
        created, active = issues.CREATED.family(), issues.ACTIVE.family()
        seconds = issues.RESOLUTION_SECONDS.family()
        counted = found.counted.get
        for severity, category in product(SEVERITIES, CATEGORIES):
            labels = [severity, category]
            created.add_metric(labels, counted(("created", severity, category), 0.0))
            active.add_metric(labels, found.active.get((severity, category), 0))
            seconds.add_metric(
                labels,
                count_value=int(counted(("resolved", severity, category), 0.0)),
                sum_value=counted(("resolution_seconds", severity, category), 0.0),
            )
        yield from (created, active, seconds)
        for metric, spec in (("resolved", issues.RESOLVED), ("regressed", issues.REGRESSED)):
            yield spec.family(sum(v for key, v in found.counted.items() if key[0] == metric))
