"""The first page: whether all is well, and where to look if it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import NamedTuple

from starlette.responses import Response

from aistack.api.console import plot
from aistack.api.console.render import live_page
from aistack.api.console.timeline import timeline
from aistack.api.console.traffic import PERIOD_S
from aistack.api.console.visit import Live, Page, Values, Visit
from aistack.backup import status as backup_status
from aistack.backup.store import Memory
from aistack.health.model import Check, Readiness
from aistack.host.model import Finding
from aistack.issues.model import IssueFilter, Severity

_ISSUES = 6
_EVENTS = 10


class Headline(NamedTuple):
    """The state of all in one line."""

    state: str
    text: str
    more: str = ""
    href: str | None = None


async def load(visit: Visit) -> Values:
    """What the parts show."""
    stack = visit.stack
    health, findings = stack.health.detailed(), await visit.state.host()
    active = await stack.tracker.issues.active()
    runs = await stack.collector.history(limit=1)
    return {
        "health": health,
        "headline": headline(stack.health.ready(), health.checks, findings or [], active),
        "findings": findings,
        "hour": plot.hour(visit.state.traffic.points(), _now()),
        "active": active,
        "issues": (await stack.tracker.issues.list(IssueFilter(limit=_ISSUES))).issues,
        "collected": runs[0] if runs else None,
        "backups": await backup_status.look(stack.settings.backup, Memory(stack.postgres)),
        "repositories": list(stack.settings.backup.repositories),
        "entries": await timeline(visit, _EVENTS),
    }


def _now() -> float:
    """The end of the running period: the drawing moves when there is something new, not before."""
    return math.ceil(time.time() / PERIOD_S) * PERIOD_S


def headline(
    ready: Readiness,
    checks: dict[str, Check],
    findings: Iterable[Finding],
    active: dict[Severity, int],
) -> Headline:
    """The worst of what is known, in words."""
    sick = [f"{name} {_VERBS[check.status]}" for name, check in checks.items()
            if check.status != "pass"]  # fmt: skip
    sick += [f"{f.kind} {f.name}" for f in findings if f.state in ("critical", "warning")]
    grave = active.get("critical", 0)
    issues = [f"{grave} critical {'issue' if grave == 1 else 'issues'}"] if grave else []
    more = "; ".join(sick + issues)
    if ready == "unavailable":
        return Headline("fail", "Requests are not answered", more)
    if any(f.state == "critical" for f in findings):
        return Headline("fail", "Something on the host needs you", more)
    if sick:
        return Headline("warn", "Answers, but not all is well", more)
    if issues:
        return Headline("warn", more, href="/console/issues?severity=critical")
    return Headline("pass", "All is well")


async def show(visit: Visit) -> Response:
    """The page."""
    return live_page(visit, LIVE, await load(visit))


_VERBS = {"fail": "fails", "warn": "warns", "pass": "is well"}
LIVE = Live(
    name="overview",
    load=load,
    parts=("headline", "health", "traffic", "issues", "upkeep", "certificates", "events"),
)
PAGES = (Page("GET", "/console/", show),)
