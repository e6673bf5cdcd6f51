"""Pages of issues: a list, each with its newest occurrences, and what can be done about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from starlette.responses import Response

from aistack.api import problems
from aistack.api.console.render import live_page, page, see
from aistack.api.console.visit import Live, Page, Values, Visit
from aistack.errors import InvalidError
from aistack.issues.model import IssueChange, IssueFilter

_PAGE = 50
_DEEDS: dict[str, str] = {
    "resolved": "resolved", "open": "reopened", "investigating": "investigating", "muted": "muted",
}  # fmt: skip
"""Status that a form may set, to the message that says so."""


async def load(visit: Visit) -> Values:
    """The list that the query asks for."""
    wanted = _filter(visit)
    found = await visit.stack.tracker.issues.list(wanted)
    return {
        "wanted": wanted,
        "found": found,
        "active": await visit.stack.tracker.issues.active(),
    }


async def show_list(visit: Visit) -> Response:
    """The issues that are active, or those that the query asks for."""
    return live_page(visit, LIVE, await load(visit))


async def show_one(visit: Visit) -> Response:
    """One issue."""
    detail = await visit.stack.tracker.issues.get(visit.path["issue"])
    return page(visit, "issue.html", {"detail": detail, "issue": detail.issue})


async def change_status(visit: Visit) -> Response:
    """Resolve, reopen, investigate or mute; doing it twice changes nothing more."""
    status = visit.form.get("status", "")
    if status not in _DEEDS:
        raise InvalidError("this status cannot be set here; aistack issues can set all")
    change = {"status": status}
    if status == "resolved" and (note := visit.form.get("resolution", "").strip()):
        change["resolution"] = note
    if status == "muted" and (days := visit.form.get("days", "")):
        change["muted_until"] = _in_days(days)
    return await _change(visit, change, _DEEDS[status])


async def assign(visit: Visit) -> Response:
    """Give it to somebody, or to nobody."""
    return await _change(visit, {"assignee": visit.form.get("assignee", "").strip()}, "assigned")


async def _change(visit: Visit, change: dict[str, Any], done: str) -> Response:
    issue = visit.path["issue"]
    try:
        checked = msgspec.convert(change, IssueChange)
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc
    await visit.stack.tracker.issues.change(issue, checked, visit.principal.key_id)
    visit.log(f"console: issue {done}", issue=issue)
    return see(f"/console/issues/{issue}", done)


def _in_days(days: str) -> str:
    if days not in ("1", "7", "30"):
        raise InvalidError("an issue is muted for 1, 7 or 30 days, or for good")
    return (datetime.now(UTC) + timedelta(days=int(days))).isoformat()


def _filter(visit: Visit) -> IssueFilter:
    asked = ("status", "severity", "text", "cursor")
    values = {name: visit.query[name] for name in asked if visit.query.get(name)}
    try:
        return msgspec.convert(values | {"limit": _PAGE}, IssueFilter)
    except msgspec.ValidationError as exc:
        raise problems.from_validation(exc) from exc


LIVE = Live(name="issues", load=load, parts=("issue_list",))
PAGES = (
    Page("GET", "/console/issues", show_list),
    Page("GET", "/console/issues/{issue:number}", show_one),
    Page("POST", "/console/issues/{issue:number}/status", change_status),
    Page("POST", "/console/issues/{issue:number}/assignee", assign),
)
