"""HTTP endpoints of contexts and of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint
from aistack.coordinator.model import Augmentation, AugmentQuery, Stats

if TYPE_CHECKING:
    from aistack.wiring import Stack


async def augment_query(stack: Stack, principal: Principal, call: Call) -> Augmentation:
    """Context for a question."""
    return await stack.coordinator.augment.augment(principal, call.body)


async def get_stats(stack: Stack, principal: Principal, _call: Call) -> Stats:
    """What was recorded and learned."""
    return await stack.coordinator.stats(principal)


ENDPOINTS = (
    Endpoint(
        method="POST", path="/v1/augment", handler=augment_query, scope="read",
        tags=("augmentation",), summary="Context for a question", body=AugmentQuery,
        response=Augmentation, errors=("not-found", "conflict", "screened"),
    ),
    Endpoint(
        method="GET", path="/v1/stats", handler=get_stats, scope="read", tags=("operations",),
        summary="What was recorded and learned", response=Stats,
    ),
)  # fmt: skip
