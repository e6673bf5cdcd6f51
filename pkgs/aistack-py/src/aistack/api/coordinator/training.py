"""The HTTP endpoint of training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.coordinator.model import TrainingQuery

if TYPE_CHECKING:
    from aistack.wiring import Stack

MEDIA_TYPE = "application/jsonl"


async def export_training_data(stack: Stack, principal: Principal, call: Call) -> Reply:
    """All examples, a line each, sent as they are read."""
    return Reply(await stack.coordinator.training.export(principal, call.query))


ENDPOINTS = (
    Endpoint(
        method="GET", path="/v1/training-data", handler=export_training_data, scope="admin",
        tags=("training data",), summary="Training data as JSON lines", query=TrainingQuery,
        response=str, media_type=MEDIA_TYPE,
    ),
)  # fmt: skip
