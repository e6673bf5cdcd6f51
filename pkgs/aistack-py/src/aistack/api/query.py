"""The HTTP endpoint of search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.errors import InvalidError
from aistack.knowledge.model import Query, SearchPage

if TYPE_CHECKING:
    from aistack.wiring import Stack


async def search(stack: Stack, principal: Principal, call: Call) -> SearchPage:
    """Search one collection."""
    query: Query = call.body
    return await stack.search.search(principal, query)


def count_refused(stack: Stack, error: InvalidError) -> None:
    """Count a question that did not reach the search."""
    stack.metrics.query_failures.labels(error.reason).inc()


ENDPOINTS = (
    Endpoint(
        method="POST", path="/v1/query", handler=search, scope="read", tags=("search",),
        summary="Search a collection", body=Query, response=SearchPage,
        refused=count_refused, errors=("not-found", "conflict", "screened"),
    ),
)  # fmt: skip
