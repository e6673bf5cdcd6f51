"""Qdrant, by its own metrics."""

from aistack.mixin.dashboards.frame import instance, of_job, showing
from aistack.mixin.dashboards.model import BAD_IS_ONE, GOOD_IS_ONE, Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat
from aistack.mixin.dashboards.promql import chosen, counted_in, or_zero, per_second, quantile

_JOB = "aistack-qdrant"
_BAD = 'status=~"4..|5.."'
_WHAT = "method, endpoint"

_NOW = Row(
    "Now",
    (
        stat(
            "Answers",
            "Whether its metrics can be read.",
            "none",
            f"min({chosen('up')})",
            words=GOOD_IS_ONE,
        ),
        stat(
            "Collections",
            "Collections, those of an index that is being rebuilt included.",
            "short",
            f"sum({chosen('collections_total')})",
        ),
        stat(
            "Vectors",
            "Vectors of all collections.",
            "short",
            f"sum({chosen('collections_vector_total')})",
        ),
        stat(
            "Memory",
            "Bytes that Qdrant holds in memory.",
            "bytes",
            f"sum({chosen('memory_resident_bytes')})",
        ),
        stat(
            "Optimizers",
            "Optimizations that run now; searches are slower meanwhile.",
            "short",
            f"sum({chosen('collection_running_optimizations')})",
        ),
        stat(
            "Recovery mode",
            "Whether it started without loading its collections.",
            "none",
            f"max({chosen('app_status_recovery_mode')})",
            words=BAD_IS_ONE,
        ),
    ),
)

_REQUESTS = Row(
    "Requests",
    (
        graph(
            "Requests by path",
            "Answers a second.",
            "reqps",
            Query(per_second("rest_responses_total", by=_WHAT), "{{method}} {{endpoint}}"),
            stacked=True,
        ),
        graph(
            "Answers that were errors",
            "Answers a second with 4xx or 5xx.",
            "reqps",
            Query(
                or_zero(per_second("rest_responses_total", by="endpoint, status", where=_BAD)),
                "{{status}} {{endpoint}}",
            ),
        ),
        graph(
            "Time of an answer (p95)",
            "19 of 20 answers took no longer, by path.",
            "s",
            Query(
                f"{quantile(0.95, 'rest_responses_duration_seconds', by='endpoint')}",
                "{{endpoint}}",
            ),
        ),
        bars(
            "Time on average",
            "Of all answers since the start, by path.",
            "s",
            Query(
                f"topk(10, max by (method, endpoint) "
                f"({chosen('rest_responses_avg_duration_seconds')}))",
                "{{method}} {{endpoint}}",
            ),
            steps=rising(0.1, 1),
        ),
        bars(
            "Slowest answer",
            "Of all answers since the start, by path.",
            "s",
            Query(
                f"topk(10, max by (method, endpoint) "
                f"({chosen('rest_responses_max_duration_seconds')}))",
                "{{method}} {{endpoint}}",
            ),
            steps=rising(1, 5),
        ),
    ),
)

_STORE = Row(
    "Collections",
    (
        graph(
            "Points",
            "Points of each collection, about.",
            "short",
            Query(f"max by (id) ({chosen('collection_points')})", "{{id}}"),
            width=12,
        ),
        graph(
            "Vectors by name",
            "Vectors of each kind: by words and by meaning.",
            "short",
            Query(f"sum by (vector) ({chosen('collection_vectors')})", "{{vector}}"),
            width=12,
        ),
        graph(
            "Memory over time",
            "Bytes that are resident.",
            "bytes",
            Query(f"sum({chosen('memory_resident_bytes')})", "resident"),
        ),
        graph(
            "Open files",
            "Files and sockets that are open.",
            "short",
            Query(f"sum({chosen('process_open_fds')})", "open"),
        ),
        graph(
            "Snapshots",
            "Snapshots of the last 24 hours, and those that are being made or loaded.",
            "short",
            Query(counted_in("1d", "snapshot_created_total"), "made"),
            Query(f"sum({chosen('snapshot_creation_running')})", "being made"),
            Query(f"sum({chosen('snapshot_recovery_running')})", "being loaded"),
        ),
    ),
)

QDRANT = Dashboard(
    uid="aistack-qdrant",
    title="aistack / Qdrant",
    about="The search index. It can always be rebuilt from PostgreSQL.",
    labels=of_job(_JOB),
    runbook="qdrant.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, _REQUESTS, _STORE),
)
