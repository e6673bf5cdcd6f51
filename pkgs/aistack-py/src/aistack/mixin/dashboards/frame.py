"""What dashboards have in common: labels, variables, annotations."""

from msgspec.structs import replace

from aistack.mixin.dashboards.model import Annotation, Query, Variable

_SERVICES = "aistack-(aidb|coordinator)"
SERVICES = f'job=~"{_SERVICES}"'
"""Both tell what PostgreSQL keeps, and every instance the same: take the max of it, not the sum."""

FIRING = 'ALERTS{alertstate="firing",part!="",severity=~"critical|warning"}'
"""Ours all have the label ``part``; the others say that nothing is wrong."""
DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs|nsfs|devtmpfs|autofs|fuse.*"'
ASKED = 'route!~"/health/.*|/metrics"'
"""Machines ask for health and metrics, and are answered from memory: they are left out."""
HOUR = 3600
DAY = 24 * HOUR


def of_job(job: str) -> str:
    """Label matchers for a job, and for the instance that was chosen."""
    return f'job="{job}",instance=~"$instance"'


def instance(job: str) -> Variable:
    """The choice among the instances of a job, which may be a regular expression."""
    return Variable("instance", "Instance", f'label_values(up{{job=~"{job}"}}, instance)')


JOB = Variable("job", "Service", f"label_values(up{{{SERVICES}}}, job)", everything=_SERVICES)

ALERTS = Annotation(
    "Alerts",
    Query(f"max by (alertname, part, severity) ({FIRING})", "{{severity}} {{part}}"),
    "{{alertname}}",
    "red",
)

_NOW = f"count by (generation, version) (aistack_build_info{{{SERVICES}}})"
_BEFORE = f"count by (generation, version) (aistack_build_info{{{SERVICES}}} offset 2m)"
DEPLOYMENTS = Annotation(
    "Deployments",
    # An info metric never changes its value; a new generation is a series that was not there.
    Query(f"{_NOW} unless {_BEFORE}", "version {{version}}"),
    "Generation {{generation}}",
    "blue",
)
GC_RUNS = Annotation(
    "Garbage collections",
    Query(f"max by (result) (changes(hybrid_gc_runs_total{{{SERVICES}}}[2m])) > 0", "{{result}}"),
    "Garbage was collected",
    "purple",
    shown=False,
)
BACKUP_RUNS = Annotation(
    "Backups",
    Query(
        "max by (job_name, outcome) (changes(aistack_job_runs_total{"
        f'{SERVICES},job_name=~"backup.*"'
        "}[2m])) > 0",
        "{{outcome}}",
    ),
    "{{job_name}}",
    "super-light-blue",
    shown=False,
)
ANNOTATIONS = (ALERTS, DEPLOYMENTS, GC_RUNS, BACKUP_RUNS)


def showing(*more: Annotation) -> tuple[Annotation, ...]:
    """All annotations, with these switched on besides alerts and deployments."""
    return tuple(replace(one, shown=True) if one in more else one for one in ANNOTATIONS)
