"""HTTP endpoints for whoever runs the service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.health.model import Detailed, Readiness

if TYPE_CHECKING:
    from aistack.wiring import Stack


class Health(Struct, frozen=True):
    """The state in one word; anyone may read it, so it says no more."""

    status: Readiness


async def live(_stack: Stack, _principal: Principal, _call: Call) -> Health:
    """Whether the process serves requests: that it answers is the answer."""
    return Health("ok")


async def startup(stack: Stack, _principal: Principal, _call: Call) -> Reply:
    """Whether all that is critical was well once since the start."""
    return _health("ok" if stack.health.started() else "unavailable")


async def ready(stack: Stack, _principal: Principal, _call: Call) -> Reply:
    """Whether requests can be answered; read from memory, nobody is asked."""
    return _health(stack.health.ready())


def _health(status: Readiness) -> Reply:
    if status == "unavailable":
        return Reply(Health(status), 503, {"Retry-After": "2"})
    return Reply(Health(status))


async def detailed(stack: Stack, _principal: Principal, _call: Call) -> Detailed:
    """Every dependency as it is known now."""
    return stack.health.detailed()


async def metrics(stack: Stack, _principal: Principal, _call: Call) -> Reply:
    """All metrics in Prometheus' text format."""
    content, media_type = stack.metrics.render()
    # All at once: a database that hangs takes one patience, not one for each.
    stored = await asyncio.gather(*(one.render() for one in stack.stored_metrics))
    return Reply(b"".join([content, *stored]), media_type=media_type)


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
        method="GET", path="/health/startup", handler=startup, scope=None, tags=("operations",),
        summary="Whether the start is complete", response=Health, also=(503,),
    ),
    Endpoint(
        method="GET", path="/health/detailed", handler=detailed, scope="read",
        tags=("operations",), summary="What is known of every dependency", response=Detailed,
    ),
    Endpoint(
        method="GET", path="/metrics", handler=metrics, scope="metrics", tags=("operations",),
        summary="Metrics for Prometheus", response=str, media_type="text/plain",
    ),
)  # fmt: skip
