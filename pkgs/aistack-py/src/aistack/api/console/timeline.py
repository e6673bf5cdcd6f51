"""What happened lately: issues, jobs and keys in one list."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from aistack.access.model import KeyEvent
from aistack.api.console.render import span, words
from aistack.api.console.visit import Visit
from aistack.issues.model import Deed
from aistack.jobs.ledger import JobRun

Kind = Literal["issue", "job", "key"]
_JOBS = {
    "gc": "/console/garbage", "gc_undo": "/console/garbage", "backup": "/console/backups",
    "backup_expire": "/console/backups", "backup_verify": "/console/backups",
    "backup_drill": "/console/backups", "tls_renew": "/console/host", "tls_deploy": "/console/host",
}  # fmt: skip
"""Where more is said of a job."""


class Entry(NamedTuple):
    """One thing that happened."""

    at: datetime
    kind: Kind
    state: str
    text: str
    detail: str
    href: str | None


async def timeline(visit: Visit, limit: int) -> list[Entry]:
    """The newest entries, newest first."""
    deeds = await visit.stack.tracker.issues.recent(limit)
    events = await visit.stack.keys.events(limit=limit)
    runs = await visit.state.jobs() or []
    entries = [*_of_issues(deeds), *_of_keys(events), *_of_jobs(runs)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


def _of_issues(deeds: Iterable[Deed]) -> Iterable[Entry]:
    for one in deeds:
        bad = one.event in ("opened", "regressed", "open")
        state = one.severity if bad else "resolved" if one.event == "resolved" else "idle"
        by = "" if one.actor == "tracker" else f"by {one.actor}"
        text = f"Issue {one.id} {words(one.event)}"
        detail = f"{one.title} {by}".strip()
        yield Entry(one.at, "issue", state, text, detail, f"/console/issues/{one.id}")


def _of_keys(events: Iterable[KeyEvent]) -> Iterable[Entry]:
    for one in events:
        by = "on the host" if one.actor == "local" else f"by {one.actor}"
        yield Entry(one.at, "key", "idle", f"Key {one.key_id} {one.event}", by, "/console/keys")


def _of_jobs(runs: Iterable[JobRun]) -> Iterable[Entry]:
    for one in runs:
        end = one.finished_at or one.started_at
        took = span((end - one.started_at).total_seconds()) if one.finished_at else ""
        told = str(one.detail.get("error", "")) or (f"took {took}" if took else "")
        name = words(one.job).replace("tls", "certificate").replace("gc", "garbage collection")
        text = f"{name[0].upper()}{name[1:]} {'went well' if one.state == 'ok' else one.state}"
        yield Entry(end, "job", one.state, text, told, _JOBS.get(one.job))
