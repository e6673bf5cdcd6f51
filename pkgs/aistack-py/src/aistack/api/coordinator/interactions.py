"""HTTP endpoints of interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.coordinator.model import Interaction, NewInteraction, NewOutcome

if TYPE_CHECKING:
    from aistack.wiring import Stack


async def record_interaction(stack: Stack, principal: Principal, call: Call) -> Reply:
    """Record one; 200 where the idempotency key brings back an earlier one."""
    recorded = await stack.coordinator.interactions.record(principal, call.body)
    place = {"Location": f"/v1/interactions/{recorded.interaction.id}"}
    return Reply(recorded.interaction, 201 if recorded.created else 200, place)


async def set_outcome(stack: Stack, principal: Principal, call: Call) -> Interaction:
    """Tell how one ended."""
    return await stack.coordinator.interactions.set_outcome(principal, call.path["id"], call.body)


async def get_interaction(stack: Stack, principal: Principal, call: Call) -> Interaction:
    """One interaction."""
    return await stack.coordinator.interactions.get(principal, call.path["id"])


_TAGS = ("interactions",)

ENDPOINTS = (
    Endpoint(
        method="POST", path="/v1/interactions", handler=record_interaction, scope="write",
        tags=_TAGS, summary="Record an interaction", body=NewInteraction,
        response=Interaction, status=201, also=(200,), errors=("conflict", "screened"),
    ),
    Endpoint(
        method="POST", path="/v1/interactions/{id:uuid}/outcome", handler=set_outcome,
        scope="write", tags=_TAGS, summary="Tell how an interaction ended", body=NewOutcome,
        response=Interaction, errors=("not-found",),
    ),
    Endpoint(
        method="GET", path="/v1/interactions/{id:uuid}", handler=get_interaction, scope="read",
        tags=_TAGS, summary="Get an interaction", response=Interaction, errors=("not-found",),
    ),
)  # fmt: skip
