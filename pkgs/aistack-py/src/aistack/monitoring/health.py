"""Metrics of health checks."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class HealthMetrics:
    """What the probers saw; of several workers' gauges the worst counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._service = Gauge(
            "service_health_status",
            "Whether the service is well: live, startup, ready",
            ["service", "check_type"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._dependency = Gauge(
            "dependency_health_status",
            "1: well, 0.5: a warning, 0: it fails",
            ["dependency"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._seconds = Histogram(
            "health_check_duration_seconds",
            "Time of a look at a dependency",
            ["dependency"],
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
            registry=registry,
        )
        self._looks = Counter(
            "health_check",
            "Looks at a dependency by what they saw",
            ["dependency", "status"],
            registry=registry,
        )

        self._expiry = Gauge(
            "tls_certificate_expiry_seconds",
            "Time until the end of the certificate that is served, when it was last seen",
            ["name"],
            registry=registry,
            multiprocess_mode="livemin",
        )
        self._lifetime = Gauge(
            "tls_certificate_lifetime_seconds",
            "Time from its begin to its end",
            ["name"],
            registry=registry,
            multiprocess_mode="livemin",
        )

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
        self._expiry.labels(name).set(left_s)
        self._lifetime.labels(name).set(lifetime_s)
