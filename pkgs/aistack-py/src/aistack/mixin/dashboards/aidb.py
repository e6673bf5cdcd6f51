"""AIDB: requests, searches, the way into the index."""

from aistack.mixin.dashboards import services
from aistack.mixin.dashboards.frame import instance, of_job, showing
from aistack.mixin.dashboards.model import Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import graph, stat
from aistack.mixin.dashboards.promql import chosen, or_zero, per_second, quantiles

_PENDING = f"max({chosen('aidb_outbox_pending')})"
_JOB = "aistack-aidb"
_SECONDS = "aidb_http_request_duration_seconds"

_NOW = Row(
    "Now",
    (
        services.ready(),
        services.instances(),
        services.requests_now(),
        services.errors(),
        services.slow_now(),
        stat(
            "Waiting for the index",
            "Documents that are stored and not yet found.",
            "none",
            _PENDING,
            steps=rising(100, 10_000),
        ),
    ),
)

_SEARCH = Row(
    "Search",
    (
        graph(
            "Searches by mode",
            "Searches a second by the way that was used.",
            "reqps",
            Query(per_second("aidb_searches_total", by="mode"), "{{mode}}"),
            stacked=True,
        ),
        graph(
            "Time of a search",
            "Half, 95 and 99 of 100 searches over HTTP were answered within this time.",
            "s",
            *quantiles(
                "aidb_http_request_duration_seconds", 0.5, 0.95, 0.99, where='route="/v1/query"'
            ),
        ),
        graph(
            "Size of questions",
            "Half and 99 of 100 questions are no longer.",
            "bytes",
            *quantiles("aidb_query_size_bytes", 0.5, 0.99),
        ),
    ),
)

_INDEX = Row(
    "Index",
    (
        graph(
            "Documents that wait",
            "Documents that are stored and not yet in the index. It should fall back to 0 "
            "after an import.",
            "none",
            Query(_PENDING, "waiting"),
            steps=rising(100, 10_000),
        ),
        graph(
            "Documents indexed",
            "Documents a second that were brought to the index.",
            "ops",
            Query(per_second("aidb_indexed_documents_total"), "indexed"),
        ),
        graph(
            "Index failures",
            "Documents that could not be indexed, and rounds of the indexer that failed "
            "altogether, a second.",
            "ops",
            Query(or_zero(per_second("aidb_index_failures_total")), "documents"),
            Query(or_zero(per_second("aidb_indexer_errors_total")), "rounds"),
        ),
    ),
)

AIDB = Dashboard(
    uid="aistack-aidb",
    title="aistack / AIDB",
    about="The knowledge base: requests, searches and its index.",
    labels=of_job(_JOB),
    runbook="aidb.md",
    variables=(instance(_JOB),),
    annotations=showing(),
    rows=(_NOW, services.requests(), _SEARCH, _INDEX, services.pool(), services.processes()),
)
