"""The HTTP endpoint of search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.knowledge.model import Query, SearchPage

if TYPE_CHECKING:
    from aistack.wiring import Stack


async def search(stack: Stack, principal: Principal, call: Call) -> SearchPage:
    """Search one collection."""
    query: Query = call.body
    return await stack.search.search(principal, query)


ENDPOINTS = (
    Endpoint(
        method="POST", path="/v1/query", handler=search, scope="read", tags=("search",),
        summary="Search a collection", body=Query, response=SearchPage,
        errors=("not-found", "conflict"),
    ),
)  # fmt: skip
