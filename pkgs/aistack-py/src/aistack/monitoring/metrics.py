"""Every metric of the product, built on a registry that is handed in."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from aistack.monitoring.pools import PoolMetrics

SHARED = values.ValueClass is not values.MutexValue
"""Whether all workers of the service count together, in files of a common folder.

prometheus_client settles it when it is imported, by $PROMETHEUS_MULTIPROC_DIR.
"""


class Metrics:
    """The metrics of one process; `render` tells those of all workers.

    Args:
        registry: a fresh one by default; never the library's global one, which a second stack
            in the same process (a test, say) would register into twice.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = Counter(
            "aidb_http_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "aidb_http_request_duration_seconds",
            "Time from request to answer",
            ["method", "route"],
            registry=self.registry,
        )
        self.searches = Counter(
            "aidb_searches", "Searches by the way that was used", ["mode"], registry=self.registry
        )
        self.query_success = Counter(
            "aidb_query_validation_success", "Questions that passed all checks",
            registry=self.registry,
        )  # fmt: skip
        self.query_failures = Counter(
            "aidb_query_validation_failures", "Questions that were refused, by reason", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self.query_bytes = Histogram(
            "aidb_query_size_bytes", "Size of questions in UTF-8",
            buckets=(64, 256, 1024, 2048, 4096, 10240, 65536),
            registry=self.registry,
        )  # fmt: skip
        self.suspicious = Counter(
            "aidb_malicious_patterns_detected", "Suspicious patterns in questions and documents",
            ["kind"],
            registry=self.registry,
        )  # fmt: skip
        self.indexed = Counter(
            "aidb_indexed_documents", "Documents brought to the index", registry=self.registry
        )
        self.index_failures = Counter(
            "aidb_index_failures", "Documents that failed to index", registry=self.registry
        )
        self.index_errors = Counter(
            "aidb_indexer_errors", "Rounds of the indexer that failed", registry=self.registry
        )
        self.pending = Gauge(
            "aidb_outbox_pending",
            "Documents that wait for the index",
            registry=self.registry,
            # Only the worker that holds the indexer's lock sets it; another may take over.
            multiprocess_mode="mostrecent",
        )

        self.pool = PoolMetrics(self.registry)

        self.rate_limit_rejections = Counter(
            "aidb_rate_limit_rejections",
            "Requests refused by a rate limit: minute, hour, wrong_key, degraded",
            ["scope"],
            registry=self.registry,
        )
        self.rate_limit_seconds = Histogram(
            "aidb_rate_limit_seconds",
            "Time that the rate limiter took to decide",
            buckets=(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 0.01, 0.05, 0.25, 1.0),
            registry=self.registry,
        )
        self.rate_limiter_degraded = Gauge(
            "aistack_rate_limiter_degraded",
            "1 while Redis is configured and away: limits hold in each process alone",
            registry=self.registry,
            # A worker whose Redis is away sets it again each second; one that ended does not.
            multiprocess_mode="mostrecent",
        )

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its content type."""
        return generate_latest(self.of_all_workers()), CONTENT_TYPE_LATEST

    def of_all_workers(self) -> CollectorRegistry:
        """What is collected, for all workers of the service; collecting may read files.

        Workers that ended still count: a counter must not fall while the service runs.
        """
        if not SHARED:
            return self.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
        return registry
