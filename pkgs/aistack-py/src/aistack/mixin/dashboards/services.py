"""What both services have: requests, times, errors, a pool of connections."""

from aistack.mixin.dashboards.frame import ASKED
from aistack.mixin.dashboards.model import GOOD_IS_ONE, SOME, Panel, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat
from aistack.mixin.dashboards.promql import (
    LATELY,
    chosen,
    or_zero,
    per_second,
    quantile,
    quantiles,
    ratio,
)

_REQUESTS = "aidb_http_requests_total"
_SECONDS = "aidb_http_request_duration_seconds"
_WHAT = "method, route"
_NAMED = "{{method}} {{route}}"
_IS_READY = 'check_type="ready"'
_FAILED = f'{ASKED},status=~"5.."'


def _failed() -> str:
    return ratio(
        per_second(_REQUESTS, where=_FAILED, window=LATELY),
        per_second(_REQUESTS, where=ASKED, window=LATELY),
    )


def _slow_by_route() -> str:
    return quantile(0.95, _SECONDS, by=_WHAT, where=ASKED, window="$__range")


def ready() -> Panel:
    """Whether all of it takes requests."""
    return stat(
        "Ready",
        "Whether every instance says that it can answer requests.",
        "none",
        f"min({chosen('service_health_status', _IS_READY)})",
        words=GOOD_IS_ONE,
        to="aistack-health",
    )


def instances() -> Panel:
    """How many answer the scraper."""
    return stat(
        "Instances up",
        "Instances whose metrics can be read.",
        "none",
        f"sum({chosen('up')})",
        steps=SOME,
    )


def errors() -> Panel:
    """The share of requests that failed by our fault."""
    return stat(
        "Errors",
        "Share of requests that were answered with 5xx, in the last 5 minutes.",
        "percentunit",
        _failed(),
        steps=rising(0.001, 0.01),
    )


def requests_now() -> Panel:
    """How many come in."""
    return stat(
        "Requests",
        "Requests a second, in the last 5 minutes. Those of machines for health and metrics do not "
        "count.",
        "reqps",
        per_second(_REQUESTS, where=ASKED, window=LATELY),
    )


def slow_now() -> Panel:
    """The 95th percentile of the time to an answer."""
    return stat(
        "Time to answer (p95)",
        "19 of 20 requests of the last 5 minutes were answered within this time.",
        "s",
        quantile(0.95, _SECONDS, where=ASKED, window=LATELY),
        steps=rising(0.5, 2),
    )


def requests() -> Row:
    """Requests by what they asked and what they got."""
    return Row(
        "Requests",
        (
            graph(
                "Requests by status",
                "Requests a second by the status of their answer.",
                "reqps",
                Query(per_second(_REQUESTS, by="status", where=ASKED), "{{status}}"),
                stacked=True,
            ),
            graph(
                "Requests by route",
                "Requests a second by what they ask for.",
                "reqps",
                Query(per_second(_REQUESTS, by=_WHAT, where=ASKED), "{{method}} {{route}}"),
                stacked=True,
            ),
            graph(
                "Errors by route",
                "Answers with 5xx a second. Their log lines have the request id of the answer.",
                "reqps",
                Query(
                    or_zero(per_second(_REQUESTS, by=_WHAT, where=_FAILED)),
                    _NAMED,
                ),
                steps=rising(0.01, 1),
            ),
            graph(
                "Time to answer",
                "Half, 95 and 99 of 100 requests were answered within this time.",
                "s",
                *quantiles(_SECONDS, 0.5, 0.95, 0.99, where=ASKED),
            ),
            bars(
                "Slowest routes (p95)",
                "Routes by the time within which 19 of 20 requests were answered, in all of the "
                "chosen time.",
                "s",
                Query(
                    f"topk(10, {_slow_by_route()})",
                    _NAMED,
                ),
                steps=rising(0.5, 2),
            ),
            graph(
                "Refused for who asks",
                "Answers a second with 401 (no or a wrong key), 403 (not allowed) and 429 (limit).",
                "reqps",
                Query(
                    or_zero(per_second(_REQUESTS, by="status", where='status=~"401|403|429"')),
                    "{{status}}",
                ),
                to="aistack-guards",
            ),
        ),
    )


def pool() -> Row:
    """Connections to PostgreSQL."""
    return Row(
        "Connections to PostgreSQL",
        (
            graph(
                "Pool",
                "Connections of the pool by state, of all workers.",
                "none",
                Query(f"sum by (state) ({chosen('aidb_postgres_pool_connections')})", "{{state}}"),
                stacked=True,
            ),
            graph(
                "Waiting for a connection",
                "Requests that wait for one; more than 0 for long means that the pool is too "
                "small or that the database is slow.",
                "none",
                Query(f"sum({chosen('aidb_postgres_pool_waiting')})", "waiting"),
                steps=rising(1, 10),
            ),
            graph(
                "Time until there was a connection",
                "Half and 99 of 100 requests waited no longer.",
                "s",
                *quantiles("aidb_postgres_pool_wait_seconds", 0.5, 0.99),
            ),
        ),
    )


def processes() -> Row:
    """What the service takes of the host."""
    return Row(
        "Processes",
        (
            graph(
                "Processor time",
                "Processors that all workers of an instance keep busy.",
                "short",
                Query(
                    per_second("aistack_process_cpu_seconds_total", by="instance"), "{{instance}}"
                ),
                width=6,
            ),
            graph(
                "Memory",
                "Memory of all workers of an instance.",
                "bytes",
                Query(chosen("aistack_process_resident_memory_bytes"), "{{instance}}"),
                width=6,
            ),
            graph(
                "Open files",
                "Share of the files that a worker may have open.",
                "percentunit",
                Query(
                    f"{chosen('aistack_process_open_fds')} / {chosen('aistack_process_max_fds')}",
                    "{{instance}}",
                ),
                steps=rising(0.7, 0.9),
                width=6,
            ),
            graph(
                "Event loop",
                "How late it was at worst: so long every request of a worker stood still.",
                "s",
                Query(chosen("aistack_event_loop_lag_seconds"), "{{instance}}"),
                steps=rising(0.1, 1),
                width=6,
            ),
        ),
    )
