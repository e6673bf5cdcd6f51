"""Metrics of the issue tracker."""

from aistack.monitoring.contract.spec import CounterSpec, GaugeSpec, Label, Part, SummarySpec

_LABELS = (
    Label("severity", ("critical", "high", "medium", "low", "info")),
    Label(
        "category",
        (
            "security",
            "performance",
            "reliability",
            "data_integrity",
            "configuration",
            "deployment",
            "integration",
            "validation",
            "monitoring",
            "other",
        ),
    ),
)
_SPOOLED = "where `issues.spool` is set"

CREATED = CounterSpec("aidb_issues_created_total", "Issues that were new", _LABELS)
RESOLVED = CounterSpec("aidb_issues_resolved_total", "Issues that were resolved")
REGRESSED = CounterSpec("aistack_issues_regressed_total", "Resolved issues that came back")
ACTIVE = GaugeSpec("aidb_active_issues", "Issues that are open, investigated or worked on", _LABELS)
RESOLUTION_SECONDS = SummarySpec(
    "aidb_issue_resolution_seconds", "From an issue's first event to its resolution", _LABELS
)
SPOOL_BYTES = GaugeSpec(
    "aistack_issues_spool_bytes", "What waits in this host's spool", when=_SPOOLED
)
SPOOL_AGE = GaugeSpec(
    "aistack_issues_spool_age_seconds", "About how long it has waited", when=_SPOOLED
)
READABLE = GaugeSpec(
    "aistack_issues_readable", "Whether the last try to read the totals of issues worked"
)

PART = Part(
    "Issues",
    "From PostgreSQL as those of jobs, but for the spool, which is the host's own.",
    (
        CREATED,
        RESOLVED,
        REGRESSED,
        ACTIVE,
        RESOLUTION_SECONDS,
        SPOOL_BYTES,
        SPOOL_AGE,
        READABLE,
    ),
)
