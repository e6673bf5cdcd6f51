"""HTTP endpoints of issues, for those who look after them; all need the scope admin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.issues.analysis import Analysis
from aistack.issues.model import Issue, IssueChange, IssueDetail, IssueFilter, IssuePage
from aistack.issues.suggest import Suggestion, suggestions

if TYPE_CHECKING:
    from aistack.wiring import Stack


class Window(Struct, frozen=True, forbid_unknown_fields=True):
    """How far to look back, in hours."""

    hours: Annotated[int, Meta(ge=2, le=90 * 24)] = 7 * 24


class Explained(Struct, frozen=True):
    """An analysis, and what could be done."""

    analysis: Analysis
    suggestions: list[Suggestion]


async def list_issues(stack: Stack, _principal: Principal, call: Call) -> IssuePage:
    """A page of issues, the one seen last first."""
    return await stack.tracker.issues.list(call.query)


async def get_issue(stack: Stack, _principal: Principal, call: Call) -> IssueDetail:
    """One issue with its newest occurrences."""
    return await stack.tracker.issues.get(call.path["issue"])


async def change_issue(stack: Stack, principal: Principal, call: Call) -> Issue:
    """Resolve, reopen, assign, mute, link, pin ..."""
    return await stack.tracker.issues.change(call.path["issue"], call.body, principal.key_id)


async def analyze_issues(stack: Stack, _principal: Principal, call: Call) -> Explained:
    """What is new, came back, spikes, rises, comes together, or is quiet."""
    found = await stack.tracker.analyze(timedelta(hours=call.query.hours))
    return Explained(found, suggestions(found))


_ONE = "/v1/issues/{issue:number}"
_TAGS = ("issues",)

ENDPOINTS = (
    Endpoint(
        method="GET", path="/v1/issues", handler=list_issues, scope="admin", tags=_TAGS,
        summary="List issues", query=IssueFilter, response=IssuePage,
    ),
    Endpoint(
        method="GET", path="/v1/issues/analysis", handler=analyze_issues, scope="admin",
        tags=_TAGS, summary="Analyse issues", query=Window, response=Explained,
    ),
    Endpoint(
        method="GET", path=_ONE, handler=get_issue, scope="admin", tags=_TAGS,
        summary="Get an issue", response=IssueDetail, errors=("not-found",),
    ),
    Endpoint(
        method="PATCH", path=_ONE, handler=change_issue, scope="admin", tags=_TAGS,
        summary="Change an issue", body=IssueChange, response=Issue, errors=("not-found",),
    ),
)  # fmt: skip
