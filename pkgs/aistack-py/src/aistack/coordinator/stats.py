"""What was recorded and learned, in numbers."""

from typing import Any

import msgspec

from aistack.access.model import Principal
from aistack.coordinator.model import (
    COLLECTION,
    InteractionStats,
    OutcomeCounts,
    SolutionStats,
    Stats,
)
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")


async def read_stats(postgres: Postgres, principal: Principal) -> Stats:
    """The numbers of what the caller may read."""
    principal.require("read")
    values: dict[str, Any] = {
        "created_by": None if principal.collections is None else principal.key_id
    }
    (row,) = await postgres.fetch(_QUERIES["interaction_stats"], values)
    interactions = msgspec.convert(
        row | {"outcomes": msgspec.convert(row, OutcomeCounts)}, InteractionStats
    )
    if not principal.sees(COLLECTION):
        return Stats(interactions, None)
    (row,) = await postgres.fetch(_QUERIES["solution_stats"], {})
    return Stats(interactions, msgspec.convert(row, SolutionStats))
