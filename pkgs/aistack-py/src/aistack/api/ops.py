"""HTTP endpoints for whoever runs the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply

if TYPE_CHECKING:
    from aistack.wiring import Stack

NEEDED = ("postgres", "qdrant")
"""Parts without which nothing can be answered; the others only degrade."""


class Health(Struct, frozen=True):
    """The state in one word; anyone may read it, so it says no more."""

    status: Literal["ok", "degraded", "unavailable"]


async def live(_stack: Stack, _principal: Principal, _call: Call) -> Health:
    """Whether the process serves requests; asks no store."""
    return Health("ok")


async def ready(stack: Stack, _principal: Principal, _call: Call) -> Reply:
    """Whether requests can be answered."""
    parts = await stack.ready()
    if not all(parts.get(name, False) for name in NEEDED):
        return Reply(Health("unavailable"), 503, {"Retry-After": "2"})
    return Reply(Health("ok" if all(parts.values()) else "degraded"))


async def metrics(stack: Stack, _principal: Principal, _call: Call) -> Reply:
    """All metrics in Prometheus' text format."""
    content, media_type = stack.metrics.render()
    for stored in stack.stored_metrics:
        content += await stored.render()
    return Reply(content, media_type=media_type)


ENDPOINTS = (
    Endpoint(
        method="GET", path="/health/live", handler=live, scope=None, tags=("operations",),
        summary="Whether the process lives", response=Health,
    ),
    Endpoint(
        method="GET", path="/health/ready", handler=ready, scope=None, tags=("operations",),
        summary="Whether requests can be answered", response=Health, also=(503,),
    ),
    Endpoint(
        method="GET", path="/metrics", handler=metrics, scope="read", tags=("operations",),
        summary="Metrics for Prometheus", response=str, media_type="text/plain",
    ),
)  # fmt: skip
