"""The metrics contract: every metric of ours, once.

Code makes its metrics from these, the reference is written from them, a test scrapes the services
and compares, and rules, alerts and dashboards may ask for nothing else of ours.
"""

from aistack.monitoring.contract import (
    backup,
    coordinator,
    gc,
    guards,
    health,
    http,
    issues,
    jobs,
    knowledge,
    process,
)
from aistack.monitoring.contract.spec import Part, Spec

PARTS: tuple[Part, ...] = tuple(
    room.PART
    for room in (http, process, health, knowledge, coordinator, guards, jobs, gc, backup, issues)
)
"""In the order of the reference."""

METRICS: dict[str, Spec] = {spec.name: spec for part in PARTS for spec in part.metrics}
"""By the name that is scraped."""

SERIES: dict[str, Spec] = {name: spec for spec in METRICS.values() for name in spec.series}
"""By the names of their samples: those of a histogram end in ``_bucket``, ``_count``, ``_sum``."""
