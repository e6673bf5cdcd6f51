"""The guards: rate limits, keys, screening, validation."""

from aistack.mixin.dashboards.frame import JOB, instance, showing
from aistack.mixin.dashboards.model import Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat
from aistack.mixin.dashboards.promql import (
    chosen,
    counted_in,
    or_zero,
    per_second,
    quantiles,
    ratio,
)

_REJECTED = "aidb_rate_limit_rejections_total"
_FOUND = "aidb_malicious_patterns_detected_total"
_REFUSED = "aidb_query_validation_failures_total"
_PASSED = "aidb_query_validation_success_total"
_REQUESTS = "aidb_http_requests_total"
_SHUT_OUT = 'status=~"401|403"'
_DEGRADED = f"max({chosen('aistack_rate_limiter_degraded')})"


def _today(metric: str, where: str = "") -> str:
    return or_zero(counted_in("1d", metric, where=where))


_NOW = Row(
    "The last 24 hours",
    (
        stat(
            "Limits shared",
            "Whether all processes count together. While Redis is away each counts alone, "
            "so that the limits are looser.",
            "none",
            or_zero(_DEGRADED),
            words=((0, "yes", "green"), (1, "no", "red")),
            to="aistack-redis",
        ),
        stat(
            "Over a limit",
            "Requests of 24 hours that were refused by a limit.",
            "short",
            _today(_REJECTED),
            steps=rising(100, 10_000),
        ),
        stat(
            "Wrong keys",
            "Requests of 24 hours that were refused because too many wrong keys came before.",
            "short",
            _today(_REJECTED, 'scope="wrong_key"'),
            steps=rising(1, 100),
        ),
        stat(
            "Without a good key",
            "Answers of 24 hours with 401 or 403.",
            "short",
            _today(_REQUESTS, _SHUT_OUT),
            steps=rising(100, 10_000),
        ),
        stat(
            "Suspicious texts",
            "Findings of the screening in 24 hours, in questions and documents.",
            "short",
            _today(_FOUND),
            steps=rising(1, 100),
        ),
        stat(
            "Questions refused",
            "Questions of 24 hours that did not pass validation.",
            "short",
            _today(_REFUSED),
            steps=rising(100, 10_000),
        ),
    ),
)

_LIMITS = Row(
    "Rate limits",
    (
        graph(
            "Refused by a limit",
            "Requests a second by the limit: of the minute, of the hour, for wrong keys, or "
            "degraded (Redis is away and the settings say to refuse).",
            "reqps",
            Query(or_zero(per_second(_REJECTED, by="scope")), "{{scope}}"),
            stacked=True,
        ),
        graph(
            "Share refused",
            "Of all requests, those that met a limit.",
            "percentunit",
            Query(ratio(per_second(_REJECTED), per_second(_REQUESTS)), "refused"),
            steps=rising(0.05, 0.5),
        ),
        graph(
            "Time to decide",
            "Half and 99 of 100 decisions took no longer. Redis is in it.",
            "s",
            *quantiles("aidb_rate_limit_seconds", 0.5, 0.99),
            steps=rising(0.01, 0.05),
        ),
        graph(
            "Degraded",
            "1 while Redis is configured and away: limits hold in each process alone.",
            "none",
            Query(or_zero(f"max by (job) ({chosen('aistack_rate_limiter_degraded')})"), "{{job}}"),
            most=1,
        ),
    ),
)

_KEYS = Row(
    "Keys",
    (
        graph(
            "Not let in",
            "Answers a second with 401 (no or a wrong key) and 403 (the key may not).",
            "reqps",
            Query(or_zero(per_second(_REQUESTS, by="status", where=_SHUT_OUT)), "{{status}}"),
            stacked=True,
            width=12,
        ),
        bars(
            "Where they were not let in",
            "Answers of 24 hours with 401 or 403, by route.",
            "short",
            Query(
                or_zero(f"topk(10, {counted_in('1d', _REQUESTS, by='route', where=_SHUT_OUT)})"),
                "{{route}}",
            ),
            width=12,
        ),
    ),
)

_CONTENT = Row(
    "Screening and validation",
    (
        graph(
            "Suspicious texts by kind",
            "Findings a second in questions and documents; at most one a rule and text.",
            "ops",
            Query(or_zero(per_second(_FOUND, by="kind")), "{{kind}}"),
            stacked=True,
        ),
        graph(
            "Questions refused by reason",
            "Questions a second that did not pass.",
            "reqps",
            Query(or_zero(per_second(_REFUSED, by="reason")), "{{reason}}"),
            stacked=True,
        ),
        graph(
            "Questions that passed",
            "Share of questions that passed all checks.",
            "percentunit",
            Query(
                f"{per_second(_PASSED)} / ({per_second(_PASSED)} + "
                f"({per_second(_REFUSED)} or vector(0)))",
                "passed",
            ),
            most=1,
        ),
    ),
)

GUARDS = Dashboard(
    uid="aistack-guards",
    title="aistack / Guards",
    about="Who and what is not let in: rate limits, keys, screening and validation.",
    labels='job=~"$job",instance=~"$instance"',
    runbook="guards.md",
    variables=(JOB, instance("aistack-(aidb|coordinator)")),
    annotations=showing(),
    rows=(_NOW, _LIMITS, _KEYS, _CONTENT),
)
