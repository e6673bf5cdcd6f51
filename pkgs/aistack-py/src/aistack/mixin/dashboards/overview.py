"""The first page: the stack at a glance, and a row for each of its sides."""

from msgspec.structs import replace

from aistack.mixin.dashboards import sections, services
from aistack.mixin.dashboards.frame import DAY, DISKS, FIRING, HOUR, SERVICES, showing
from aistack.mixin.dashboards.model import (
    Dashboard,
    Query,
    Row,
    falling,
    rising,
)
from aistack.mixin.dashboards.panels import graph, stat
from aistack.mixin.dashboards.promql import age, chosen, or_zero, per_second, stored

_NODE = 'job="aistack-node"'
_REQUESTS = "aidb_http_requests_total"
_BY = "severity, category"
_FILLED = (
    f"1 - min(node_filesystem_avail_bytes{{{_NODE},{DISKS}}}"
    f" / node_filesystem_size_bytes{{{_NODE},{DISKS}}})"
)
_REJECTED = "aidb_rate_limit_rejections_total"
_FOUND = "aidb_malicious_patterns_detected_total"

_SYSTEM = Row(
    "System overview",
    (
        services.ready(),
        stat(
            "Alerts",
            "Alerts of the stack that fire now.",
            "short",
            or_zero(f"count({FIRING})"),
            steps=rising(1, 5),
            to="aistack-monitoring",
        ),
        stat(
            "Targets down",
            "Parts whose metrics cannot be read.",
            "short",
            or_zero('count(up{job=~"aistack-.*"} == 0)'),
            steps=rising(1, 2),
            to="aistack-monitoring",
        ),
        replace(services.requests_now(), to="aistack-aidb"),
        replace(services.errors(), to="aistack-aidb"),
        replace(services.slow_now(), to="aistack-aidb"),
        stat(
            "Active issues",
            "Issues that are open, investigated or worked on.",
            "short",
            f"sum({stored('aidb_active_issues', by=_BY)})",
            steps=rising(5, 50),
            to="aistack-issues",
        ),
        stat(
            "Last backup",
            "Time since a backup of PostgreSQL reached a repository.",
            "s",
            age("postgres_backup_last_success_timestamp"),
            steps=rising(26 * HOUR, 50 * HOUR),
            to="aistack-backups",
        ),
        stat(
            "Certificate ends in",
            "Time until the end of the certificate that is served.",
            "s",
            f"min({chosen('tls_certificate_expiry_seconds')})",
            steps=falling(14 * DAY, 5 * DAY),
            to="aistack-health",
        ),
        stat(
            "Fullest disk",
            "Share of the fullest file system that is used.",
            "percentunit",
            _FILLED,
            steps=rising(0.8, 0.9),
            to="aistack-host",
        ),
    ),
)

_SECURITY = Row(
    "Security",
    (
        graph(
            "Refused by a limit",
            "Requests a second by the limit that refused them.",
            "reqps",
            Query(or_zero(per_second(_REJECTED, by="scope")), "{{scope}}"),
            stacked=True,
            to="aistack-guards",
        ),
        graph(
            "Suspicious texts",
            "Findings a second of the screening, by kind.",
            "ops",
            Query(or_zero(per_second(_FOUND, by="kind")), "{{kind}}"),
            stacked=True,
            to="aistack-guards",
        ),
        graph(
            "Not let in",
            "Answers a second with 401, 403 or 429.",
            "reqps",
            Query(
                or_zero(per_second(_REQUESTS, by="status", where='status=~"401|403|429"')),
                "{{status}}",
            ),
            stacked=True,
            to="aistack-guards",
        ),
    ),
)

OVERVIEW = Dashboard(
    uid="aistack-overview",
    title="aistack / Overview",
    about="The whole stack at a glance. Rows open with a click, and ask nothing before.",
    labels=SERVICES,
    loki=True,
    annotations=showing(),
    rows=(
        _SYSTEM,
        _SECURITY,
        sections.GARBAGE,
        sections.HEALTH,
        sections.BACKUPS,
        sections.PERFORMANCE,
        sections.DATABASES,
        sections.ISSUES,
        sections.EVENTS,
    ),
)
