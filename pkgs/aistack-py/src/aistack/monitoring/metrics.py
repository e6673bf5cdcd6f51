"""The metrics that the processes of a service count, on a registry that is handed in."""

import struct
import time

from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from aistack.errors import UnavailableError
from aistack.monitoring.contract import guards, http, knowledge
from aistack.monitoring.pools import PoolMetrics

SHARED = values.ValueClass is not values.MutexValue
"""Whether all workers of the service count together, in files of a common folder.

prometheus_client settles it when it is imported, by $PROMETHEUS_MULTIPROC_DIR.
"""

NOT_WHOLE = (OSError, ValueError, RuntimeError, struct.error)
"""What reading says of the files of a worker that begins or ends just now."""
_TRIES = 3
_PAUSE_S = 0.001
"""A worker makes a file in microseconds."""

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

        Raises:
            UnavailableError: the files of a worker are not whole, again and again.
        """
        left = _TRIES
        while True:
            left -= 1
            try:
                return generate_latest(self.of_all_workers()), CONTENT_TYPE_LATEST
            except NOT_WHOLE as exc:
                if not SHARED:
                    raise
                if not left:
                    raise UnavailableError("the metrics of a worker cannot be read") from exc
            time.sleep(_PAUSE_S)

    def of_all_workers(self) -> CollectorRegistry:
        """What is collected, for all workers of the service; collecting may read files.

        Workers that ended still count: a counter must not fall while the service runs.
        """
        if not SHARED:
            return self.registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
        return registry
