"""Metrics of health checks, and of the certificate that one of them looks at."""

from aistack.monitoring.contract.spec import (
    CounterSpec,
    GaugeSpec,
    HistogramSpec,
    Label,
    Part,
)

_DEPENDENCY = Label(
    "dependency",
    ("postgres", "qdrant", "redis", "embeddings", "outbox", "backup", "disk", "certificate"),
)
_CERTIFICATE = Label("name", bound="the names in `health.certificates`")
_SERVED = "where `health.certificates` names any, once it was seen"

SERVICE = GaugeSpec(
    "service_health_status",
    "Whether the service is well, 1 or 0",
    (
        Label("service", ("aidb", "coordinator")),
        Label("check_type", ("live", "startup", "ready")),
    ),
    of_workers="livemin",
)
DEPENDENCY = GaugeSpec(
    "dependency_health_status",
    "1: well, 0.5: a warning, 0: it fails",
    (_DEPENDENCY,),
    "of those that are watched",
    of_workers="livemin",
)
SECONDS = HistogramSpec(
    "health_check_duration_seconds",
    "Time of a look at a dependency",
    (_DEPENDENCY,),
    "of those that are watched",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
LOOKS = CounterSpec(
    "health_check_total",
    "Looks at a dependency by what they saw",
    (_DEPENDENCY, Label("status", ("pass", "warn", "fail"))),
    "of those that are watched",
)
CERTIFICATE_LEFT = GaugeSpec(
    "tls_certificate_expiry_seconds",
    "Time until the end of the certificate that is served, when it was last seen",
    (_CERTIFICATE,),
    _SERVED,
    of_workers="livemin",
)
CERTIFICATE_LIFETIME = GaugeSpec(
    "tls_certificate_lifetime_seconds",
    "Time from its begin to its end",
    (_CERTIFICATE,),
    _SERVED,
    of_workers="livemin",
)

PART = Part(
    "Health",
    "With several workers the gauges tell the worst of them. While nothing is served at a "
    "certificate's port, its last values stay, and `dependency_health_status` is 0.",
    (SERVICE, DEPENDENCY, SECONDS, LOOKS, CERTIFICATE_LEFT, CERTIFICATE_LIFETIME),
)
