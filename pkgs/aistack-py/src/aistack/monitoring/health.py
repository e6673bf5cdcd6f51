"""Metrics of health checks."""

from prometheus_client import CollectorRegistry

from aistack.monitoring.contract import health


class HealthMetrics:
    """What the probers saw; of several workers' gauges the worst counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._service = health.SERVICE.on(registry)
        self._dependency = health.DEPENDENCY.on(registry)
        self._seconds = health.SECONDS.on(registry)
        self._looks = health.LOOKS.on(registry)
        self._left = health.CERTIFICATE_LEFT.on(registry)
        self._lifetime = health.CERTIFICATE_LIFETIME.on(registry)

    def looked(self, dependency: str, status: str, seconds: float) -> None:
        """One look."""
        self._looks.labels(dependency, status).inc()
        self._seconds.labels(dependency).observe(seconds)

    def is_now(self, dependency: str, status: str) -> None:
        """The status that is believed."""
        self._dependency.labels(dependency).set({"pass": 1.0, "warn": 0.5}.get(status, 0.0))

    def service_is(self, service: str, *, live: bool, started: bool, ready: bool) -> None:
        """The service as a whole."""
        for kind, value in (("live", live), ("startup", started), ("ready", ready)):
            self._service.labels(service, kind).set(float(value))

    def certificate(self, name: str, *, left_s: float, lifetime_s: float) -> None:
        """One that is served."""
        self._left.labels(name).set(left_s)
        self._lifetime.labels(name).set(lifetime_s)
