"""The least valuable solutions, where there are more than may be."""

from collections.abc import AsyncIterator

from aistack.coordinator.trash import Seen
from aistack.gc.context import Context
from aistack.gc.model import Step
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_PAGE = 1000


async def steps(context: Context) -> AsyncIterator[Step]:
    """As many as it takes to come down to the ratio, by value, then last use, then id.

    Every tie is decided, so the plan is one and the same however it is read.
    """
    rules = context.settings
    with context.tier("low_value") as report:
        left = context.live - len(context.gone)
        if left <= rules.max_solutions:
            return
        wanted = left - int(rules.max_solutions * rules.keep_ratio)
        rank = {"after_value": None, "after_used": None, "after_id": None}
        while report.discards < wanted:
            rows = await context.postgres.fetch(_QUERIES["least_valuable"], rank | {"limit": _PAGE})
            for row in rows:
                rank = {
                    "after_value": row["value"],
                    "after_used": row["used_at"],
                    "after_id": row["id"],
                }
                if row["id"] in context.gone or row["id"] in context.keepers:
                    continue
                report.discards += 1
                yield Step(
                    tier="low_value",
                    action="discard",
                    subject=row["id"],
                    reason="low_value",
                    evidence={
                        "value": round(row["value"], 4),
                        "used_at": row["used_at"].isoformat(),
                        "solutions": context.live,
                        "max_solutions": rules.max_solutions,
                    },
                    seen=Seen(row["value"], row["updated_at"], row["last_used_at"]),
                )
                if report.discards == wanted:
                    return
            if len(rows) < _PAGE:
                context.warnings.append(
                    f"{wanted - report.discards} solutions more should go for gc.max_solutions, "
                    "but are pinned, or stay for duplicates that go now"
                )
                return
