"""How full the pool of database connections is."""

from prometheus_client import CollectorRegistry

from aistack.monitoring.contract import http


class PoolMetrics:
    """What the pool tells of itself; with several workers, the sum of theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._connections = http.POOL_CONNECTIONS.on(registry)
        self._waiting = http.POOL_WAITING.on(registry)
        self._wait_seconds = http.POOL_WAIT_SECONDS.on(registry)

    def waited(self, seconds: float) -> None:
        """A connection was got after so long."""
        self._wait_seconds.observe(seconds)

    def sized(self, *, idle: int, in_use: int, waiting: int) -> None:
        """The pool as it is now."""
        self._connections.labels("idle").set(idle)
        self._connections.labels("in_use").set(in_use)
        self._waiting.set(waiting)
