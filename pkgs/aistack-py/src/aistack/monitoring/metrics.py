"""The metrics that the processes of a service count, on a registry that is handed in."""

from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from aistack.monitoring.contract import guards, http, knowledge
from aistack.monitoring.pools import PoolMetrics

SHARED = values.ValueClass is not values.MutexValue
"""Whether all workers of the service count together, in files of a common folder.

prometheus_client settles it when it is imported, by $PROMETHEUS_MULTIPROC_DIR.
"""

# A series beside each counter that says when it began: nobody asks, everybody stores it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no types


class Metrics:
    """The metrics of one process; `render` tells those of all workers.

    Args:
        registry: a fresh one by default; never the library's global one, which a second stack
            in the same process (a test, say) would register into twice.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = on = registry or CollectorRegistry()
        self.requests = http.REQUESTS.on(on)
        self.request_seconds = http.REQUEST_SECONDS.on(on)
        self.pool = PoolMetrics(on)

        self.searches = knowledge.SEARCHES.on(on)
        self.indexed = knowledge.INDEXED.on(on)
        self.index_failures = knowledge.INDEX_FAILURES.on(on)
        self.index_errors = knowledge.INDEXER_ERRORS.on(on)
        self.pending = knowledge.PENDING.on(on)

        self.query_success = guards.QUERY_SUCCESS.on(on)
        self.query_failures = guards.QUERY_FAILURES.on(on)
        self.query_bytes = guards.QUERY_BYTES.on(on)
        self.suspicious = guards.SUSPICIOUS.on(on)
        self.rate_limit_rejections = guards.REJECTIONS.on(on)
        self.rate_limit_seconds = guards.LIMITER_SECONDS.on(on)
        self.rate_limiter_degraded = guards.DEGRADED.on(on)

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its content type.

        Workers that ended still count: a counter must not fall while the service runs.
        """
        registry = self.registry
        if SHARED:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
        return generate_latest(registry), CONTENT_TYPE_LATEST
