"""Solutions that may go, from the least valuable up."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_PAGE = 1000

Row = dict[str, Any]


async def ranked(
    postgres: Postgres,
    *,
    value_below: float | None = None,
    idle_since: datetime | None = None,
    learned_before: datetime | None = None,
) -> AsyncIterator[Row]:
    """All that are not pinned, by value, then last use, then id; read page by page.

    Args:
        postgres: where they are.
        value_below: only those of a lower value.
        idle_since: only those that were neither learned nor served nor brought back since.
        learned_before: only those that were learned earlier.
    """
    values: Row = {
        "value_below": value_below,
        "idle_since": idle_since,
        "learned_before": learned_before,
        "after_value": None,
        "after_used": None,
        "after_id": None,
        "limit": _PAGE,
    }
    while rows := await postgres.fetch(_QUERIES["ranked"], values):
        for row in rows:
            yield row
        last = rows[-1]
        values |= {
            "after_value": last["value"],
            "after_used": last["used_at"],
            "after_id": last["id"],
        }
