"""Every metric of the product, built on a registry that is handed in."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one process.

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
            "aidb_outbox_pending", "Documents that wait for the index", registry=self.registry
        )

    def render(self) -> tuple[bytes, str]:
        """The exposition text and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
