"""HTTP endpoints of solutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.coordinator.model import Solution, SolutionPage, SolutionQuery

if TYPE_CHECKING:
    from aistack.wiring import Stack


async def list_solutions(stack: Stack, principal: Principal, call: Call) -> SolutionPage:
    """A page of solutions."""
    return await stack.coordinator.solutions.list(principal, call.query)


async def get_solution(stack: Stack, principal: Principal, call: Call) -> Solution:
    """One solution."""
    return await stack.coordinator.solutions.get(principal, call.path["id"])


async def pin_solution(stack: Stack, principal: Principal, call: Call) -> Solution:
    """Keep one for good."""
    return await stack.coordinator.solutions.pin(principal, call.path["id"], pinned=True)


async def unpin_solution(stack: Stack, principal: Principal, call: Call) -> Solution:
    """Let one be collected again."""
    return await stack.coordinator.solutions.pin(principal, call.path["id"], pinned=False)


_ONE = "/v1/solutions/{id:uuid}"
_TAGS = ("solutions",)

ENDPOINTS = (
    Endpoint(
        method="GET", path="/v1/solutions", handler=list_solutions, scope="read", tags=_TAGS,
        summary="List solutions", query=SolutionQuery, response=SolutionPage,
    ),
    Endpoint(
        method="GET", path=_ONE, handler=get_solution, scope="read", tags=_TAGS,
        summary="Get a solution", response=Solution, errors=("not-found",),
    ),
    Endpoint(
        method="POST", path=_ONE + "/pin", handler=pin_solution, scope="write", tags=_TAGS,
        summary="Keep a solution from garbage collection", response=Solution,
        errors=("not-found",),
    ),
    Endpoint(
        method="DELETE", path=_ONE + "/pin", handler=unpin_solution, scope="write", tags=_TAGS,
        summary="Leave a solution to garbage collection", response=Solution,
        errors=("not-found",),
    ),
)  # fmt: skip
