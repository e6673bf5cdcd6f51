"""Metrics of validation, screening and rate limits."""

from aistack.monitoring.contract.spec import (
    CounterSpec,
    GaugeSpec,
    HistogramSpec,
    Label,
    Part,
)

QUERY_SUCCESS = CounterSpec(
    "aidb_query_validation_success_total", "Questions that passed all checks"
)
QUERY_FAILURES = CounterSpec(
    "aidb_query_validation_failures_total",
    "Questions that were refused",
    (
        Label(
            "reason",
            (
                "too_large",
                "encoding",
                "control_character",
                "empty",
                "schema",
                "cursor",
                "screened",
                "other",
            ),
        ),
    ),
)
QUERY_BYTES = HistogramSpec(
    "aidb_query_size_bytes",
    "Size in UTF-8 of questions that are well-formed requests",
    buckets=(64, 256, 1024, 2048, 4096, 10240, 65536),
)
SUSPICIOUS = CounterSpec(
    "aidb_malicious_patterns_detected_total",
    "Suspicious patterns in questions and documents; at most one a rule and text",
    (Label("kind", ("markup", "sql", "traversal", "credentials", "injection")),),
)
REJECTIONS = CounterSpec(
    "aidb_rate_limit_rejections_total",
    "Requests refused by a rate limit",
    (Label("scope", ("minute", "hour", "wrong_key", "degraded")),),
)
LIMITER_SECONDS = HistogramSpec(
    "aidb_rate_limit_seconds",
    "Time that the rate limiter took to decide",
    buckets=(1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 0.01, 0.05, 0.25, 1.0),
)
DEGRADED = GaugeSpec(
    "aistack_rate_limiter_degraded",
    "1 while Redis is configured and away: limits hold in each process alone",
    # A worker whose Redis is away sets it again each second; one that ended does not.
    of_workers="mostrecent",
)

PART = Part(
    "Guards",
    "See [Validation](../explanation/validation.md) and "
    "[Rate limits](../explanation/rate-limits.md).",
    (
        QUERY_SUCCESS,
        QUERY_FAILURES,
        QUERY_BYTES,
        SUSPICIOUS,
        REJECTIONS,
        LIMITER_SECONDS,
        DEGRADED,
    ),
)
