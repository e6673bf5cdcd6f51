"""How full the pool of database connections is."""

from prometheus_client import CollectorRegistry, Gauge, Histogram

_WAITS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class PoolMetrics:
    """What the pool tells of itself; with several workers, the sum of theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = Gauge(
            "aidb_postgres_pool_connections",
            "Connections of the pool by state",
            ["state"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._waiting = Gauge(
            "aidb_postgres_pool_waiting",
            "Requests that wait for a connection",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._wait_seconds = Histogram(
            "aidb_postgres_pool_wait_seconds",
            "Time until a connection was free",
            buckets=_WAITS,
            registry=registry,
        )

    def waited(self, seconds: float) -> None:
        """A connection was got after so long."""
        self._wait_seconds.observe(seconds)

    def sized(self, *, idle: int, in_use: int, waiting: int) -> None:
        """The pool as it is now."""
        self._connections.labels("idle").set(idle)
        self._connections.labels("in_use").set(in_use)
        self._waiting.set(waiting)
