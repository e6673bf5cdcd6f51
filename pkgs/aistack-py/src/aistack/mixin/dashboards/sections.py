"""The folded rows of the overview that stand for parts with dashboards of their own."""

from aistack.mixin.dashboards.frame import ASKED, DAY, FIRING, HOUR
from aistack.mixin.dashboards.model import GOOD_IS_ONE, WELL, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, lines, stat, states, table
from aistack.mixin.dashboards.promql import (
    age,
    chosen,
    or_zero,
    per_second,
    quantiles,
    stored,
    stored_in,
)

_AIDB = 'job="aistack-aidb"'
_NODE = 'job="aistack-node"'
_PG = 'job="aistack-postgres"'
_REQUESTS = "aidb_http_requests_total"
_IS_READY = 'check_type="ready"'
_BY = "severity, category"
_BUSY = f'1 - avg(rate(node_cpu_seconds_total{{{_NODE},mode="idle"}}[$__rate_interval]))'

GARBAGE = Row(
    "Garbage collection",
    (
        stat(
            "Last good run",
            "Time since garbage was last collected.",
            "s",
            age("hybrid_gc_last_success_timestamp"),
            steps=rising(1.5 * DAY, 3 * DAY),
            to="aistack-gc",
        ),
        stat(
            "In the trash",
            "Solutions that can still be brought back.",
            "short",
            stored("hybrid_gc_trash_solutions"),
            to="aistack-gc",
        ),
        graph(
            "Taken by reason",
            "Solutions of the last 24 hours, by why they were taken.",
            "short",
            Query(stored_in("1d", "hybrid_gc_solutions_deleted_total", by="reason"), "{{reason}}"),
            stacked=True,
            to="aistack-gc",
        ),
        graph(
            "Store",
            "What solutions take in PostgreSQL.",
            "bytes",
            Query(stored("hybrid_gc_storage_bytes"), "store"),
            to="aistack-gc",
        ),
    ),
)

HEALTH = Row(
    "Health",
    (
        states(
            "Services",
            "Whether each instance is ready.",
            Query(
                f"min by (service, instance) ({chosen('service_health_status', _IS_READY)})",
                "{{service}} {{instance}}",
            ),
            GOOD_IS_ONE,
        ),
        states(
            "Dependencies",
            "What the services saw of what they need.",
            Query(f"min by (dependency) ({chosen('dependency_health_status')})", "{{dependency}}"),
            WELL,
        ),
    ),
)

BACKUPS = Row(
    "Backups",
    (
        stat(
            "WAL not safe since",
            "How long whole segments of the write-ahead log wait.",
            "s",
            stored("aistack_wal_archive_lag_seconds"),
            steps=rising(300, 1800),
            to="aistack-backups",
        ),
        stat(
            "Last good drill",
            "Time since a restore was tried and found right. Decades mean never.",
            "s",
            age("aistack_backup_drill_last_success_timestamp"),
            steps=rising(8 * DAY, 15 * DAY),
            to="aistack-backups",
        ),
        graph(
            "Age",
            "Time since each part last reached a repository. Decades mean never.",
            "s",
            *(
                Query(age(f"{part}_backup_last_success_timestamp"), words)
                for part, words in (("postgres", "PostgreSQL"), ("qdrant", "index"))
            ),
            steps=rising(26 * HOUR, 50 * HOUR),
            to="aistack-backups",
        ),
        states(
            "Last try",
            "Whether it reached the repository.",
            Query(stored("postgres_backup_status", by="repository"), "{{repository}}"),
            GOOD_IS_ONE,
            width=8,
        ),
    ),
)

PERFORMANCE = Row(
    "System performance",
    (
        graph(
            "Processor",
            "Share of all processors that is at work.",
            "percentunit",
            Query(_BUSY, "at work"),
            steps=rising(0.8, 0.95),
            most=1,
            to="aistack-host",
        ),
        graph(
            "Memory",
            "Share of memory that is in use.",
            "percentunit",
            Query(
                f"1 - min(node_memory_MemAvailable_bytes{{{_NODE}}}"
                f" / node_memory_MemTotal_bytes{{{_NODE}}})",
                "in use",
            ),
            steps=rising(0.85, 0.95),
            most=1,
            to="aistack-host",
        ),
        graph(
            "Time to answer",
            "Half, 95 and 99 of 100 requests were answered in this time.",
            "s",
            *quantiles("aidb_http_request_duration_seconds", 0.5, 0.95, 0.99, where=ASKED),
            to="aistack-aidb",
        ),
        graph(
            "Requests by status",
            "Requests a second by the status of their answer.",
            "reqps",
            Query(per_second(_REQUESTS, by="status", where=ASKED), "{{status}}"),
            stacked=True,
            width=12,
            to="aistack-aidb",
        ),
        graph(
            "Searches",
            "Searches a second by the way that was used.",
            "reqps",
            Query(or_zero(per_second("aidb_searches_total", by="mode")), "{{mode}}"),
            stacked=True,
            width=12,
            to="aistack-aidb",
        ),
    ),
)

DATABASES = Row(
    "Databases",
    (
        graph(
            "PostgreSQL: connections",
            "Share of the connections that are allowed.",
            "percentunit",
            Query(
                f"sum(pg_stat_activity_count{{{_PG}}}) / max(pg_settings_max_connections{{{_PG}}})",
                "used",
            ),
            steps=rising(0.7, 0.9),
            to="aistack-postgresql",
        ),
        graph(
            "Pools: waiting",
            "Requests that wait for a connection to PostgreSQL.",
            "short",
            Query(f"sum by (job) ({chosen('aidb_postgres_pool_waiting')})", "{{job}}"),
            steps=rising(1, 10),
            to="aistack-aidb",
        ),
        graph(
            "Waiting for the index",
            "Documents that are stored and not yet found.",
            "short",
            Query(f"max(aidb_outbox_pending{{{_AIDB}}})", "waiting"),
            steps=rising(100, 10_000),
            to="aistack-aidb",
        ),
        graph(
            "PostgreSQL: size",
            "Bytes of all databases.",
            "bytes",
            Query(f"sum(pg_database_size_bytes{{{_PG}}})", "size"),
            to="aistack-postgresql",
        ),
        graph(
            "Qdrant: vectors",
            "Vectors of all collections.",
            "short",
            Query('sum(collections_vector_total{job="aistack-qdrant"})', "vectors"),
            to="aistack-qdrant",
        ),
        graph(
            "Redis: memory",
            "Bytes that Redis has taken.",
            "bytes",
            Query('sum(redis_memory_used_bytes{job="aistack-redis"})', "used"),
            to="aistack-redis",
        ),
    ),
)

ISSUES = Row(
    "Issues",
    (
        graph(
            "Active by severity",
            "Issues that are open, investigated or worked on.",
            "short",
            Query(f"sum by (severity) ({stored('aidb_active_issues', by=_BY)})", "{{severity}}"),
            stacked=True,
            to="aistack-issues",
        ),
        graph(
            "New issues",
            "Of the last 24 hours in each moment, by severity.",
            "short",
            Query(
                f"sum by (severity) ({stored_in('1d', 'aidb_issues_created_total', by=_BY)})",
                "{{severity}}",
            ),
            stacked=True,
            to="aistack-issues",
        ),
        bars(
            "Active by category",
            "Where they belong.",
            "short",
            Query(f"sum by (category) ({stored('aidb_active_issues', by=_BY)})", "{{category}}"),
        ),
    ),
)

EVENTS = Row(
    "Recent events",
    (
        table(
            "Alerts that fire",
            "Alerts of the stack, by part.",
            "none",
            Query(or_zero(f"max by (alertname, part, severity) ({FIRING})")),
        ),
        graph(
            "Jobs that ended",
            "Runs of the last 24 hours in each moment, by outcome.",
            "short",
            Query(
                stored_in("1d", "aistack_job_runs_total", by="job_name, outcome"),
                "{{job_name}} {{outcome}}",
            ),
            width=12,
        ),
        lines(
            "Warnings and errors",
            "What the services wrote; newest first.",
            '{unit=~"aistack.*",level=~"warning|warn|error|err|crit|critical|alert|emerg"}',
        ),
    ),
)
