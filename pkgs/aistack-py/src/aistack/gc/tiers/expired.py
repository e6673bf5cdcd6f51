"""Solutions that are old: of low value, or older than anything may be."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, LiteralString

from aistack.coordinator.trash import Seen
from aistack.gc.context import Context
from aistack.gc.model import Reason, Step
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_PAGE = 1000

Row = dict[str, Any]


async def steps(context: Context) -> AsyncIterator[Step]:
    """The solutions that are too old, least valuable first; past the allowance they are counted."""
    rules = context.settings
    with context.tier("expired") as report:
        rows = _rows(
            context,
            _QUERIES["expired"],
            {
                "before": context.now - timedelta(days=rules.max_age_days),
                "min_value": rules.min_value,
            },
        )
        async for row in rows:
            if context.allowance <= 0:
                report.held_back += 1
                continue
            report.discards += 1
            yield _step(context, row, "expired")
        if rules.hard_max_age_days is None:
            return
        old = context.now - timedelta(days=rules.hard_max_age_days)
        async for row in _rows(context, _QUERIES["too_old"], {"before": old}):
            if row["id"] in context.gone:
                continue
            if context.allowance <= 0:
                report.held_back += 1
                continue
            report.discards += 1
            yield _step(context, row, "too_old")


async def _rows(context: Context, query: LiteralString, values: Row) -> AsyncIterator[Row]:
    after: Row = {"after_value": None, "after_used": None, "after_id": None}
    while True:
        rows = await context.postgres.fetch(query, values | after | {"limit": _PAGE})
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        last = rows[-1]
        after = {
            "after_value": last["value"],
            "after_used": last["used_at"],
            "after_id": last["id"],
        }


def _step(context: Context, row: Row, reason: Reason) -> Step:
    context.gone.add(row["id"])
    return Step(
        tier="expired",
        action="discard",
        subject=row["id"],
        reason=reason,
        evidence={
            "value": round(row["value"], 4),
            "learned_at": row["created_at"].isoformat(),
            "used_at": row["used_at"].isoformat(),
        },
        seen=Seen(row["value"], row["updated_at"], row["last_used_at"]),
    )
