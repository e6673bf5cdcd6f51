"""The issue tracker."""

from aistack.mixin.dashboards.frame import SERVICES, showing
from aistack.mixin.dashboards.model import GOOD_IS_ONE, NONE, Dashboard, Query, Row, rising
from aistack.mixin.dashboards.panels import bars, graph, stat, table
from aistack.mixin.dashboards.promql import chosen, or_zero, stored, stored_in

_ACTIVE = "aidb_active_issues"
_CREATED = "aidb_issues_created_total"
_RESOLUTION = "aidb_issue_resolution_seconds"
_BY = "severity, category"
_CRITICAL = 'severity="critical"'


def _resolution(by: str = "") -> str:
    total = f"sum {by}({stored(f'{_RESOLUTION}_sum', by=_BY)})"
    return f"{total} / sum {by}({stored(f'{_RESOLUTION}_count', by=_BY)})"


_NOW = Row(
    "Now",
    (
        stat(
            "Active",
            "Issues that are open, investigated or worked on.",
            "short",
            f"sum({stored(_ACTIVE, by=_BY)})",
            steps=rising(5, 50),
        ),
        stat(
            "Critical",
            "Active issues of the highest severity.",
            "short",
            f"sum({stored(_ACTIVE, by=_BY, where=_CRITICAL)})",
            steps=NONE,
        ),
        stat(
            "New in 24 hours",
            "Issues that had never been seen before.",
            "short",
            f"sum({stored_in('1d', _CREATED, by=_BY)})",
        ),
        stat(
            "Came back in 7 days",
            "Resolved issues that were seen again: what was mended broke.",
            "short",
            stored_in("7d", "aistack_issues_regressed_total"),
            steps=rising(1, 5),
        ),
        stat(
            "Not yet stored",
            "How long reports have waited in a host's spool; they do while PostgreSQL is away.",
            "s",
            f"max({chosen('aistack_issues_spool_age_seconds')})",
            steps=rising(60, 600),
        ),
        stat(
            "Totals readable",
            "Whether the last try to read these numbers from PostgreSQL worked; if not, they "
            "are those of before.",
            "none",
            f"min({chosen('aistack_issues_readable')})",
            words=GOOD_IS_ONE,
        ),
    ),
)

_WHICH = Row(
    "Which",
    (
        graph(
            "Active by severity",
            "Issues that are open, investigated or worked on.",
            "short",
            Query(f"sum by (severity) ({stored(_ACTIVE, by=_BY)})", "{{severity}}"),
            stacked=True,
        ),
        bars(
            "Active by category",
            "Where they belong.",
            "short",
            Query(f"sum by (category) ({stored(_ACTIVE, by=_BY)})", "{{category}}"),
        ),
        table(
            "Severity and category",
            "Active issues; `aistack issues list` names them.",
            "short",
            Query(or_zero(f"{stored(_ACTIVE, by=_BY)} > 0"), "Issues"),
            width=8,
        ),
    ),
)

_FLOW = Row(
    "Come and gone",
    (
        graph(
            "New issues",
            "Of the last 24 hours in each moment, by severity.",
            "short",
            Query(f"sum by (severity) ({stored_in('1d', _CREATED, by=_BY)})", "{{severity}}"),
            stacked=True,
        ),
        graph(
            "Resolved and come back",
            "Of the last 24 hours in each moment.",
            "short",
            Query(stored_in("1d", "aidb_issues_resolved_total"), "resolved"),
            Query(stored_in("1d", "aistack_issues_regressed_total"), "came back"),
        ),
        bars(
            "Time to resolve",
            "From the first event to the resolution, on average of all, by severity.",
            "s",
            Query(_resolution("by (severity) "), "{{severity}}"),
        ),
        graph(
            "Spool",
            "Bytes of reports that wait on each host to be stored.",
            "bytes",
            Query(f"max by (instance) ({chosen('aistack_issues_spool_bytes')})", "{{instance}}"),
            width=24,
        ),
    ),
)

ISSUES = Dashboard(
    uid="aistack-issues",
    title="aistack / Issues",
    about="What goes wrong, how much of it is new, and how long it takes to be mended.",
    labels=SERVICES,
    runbook="issues.md",
    annotations=showing(),
    rows=(_NOW, _WHICH, _FLOW),
)
