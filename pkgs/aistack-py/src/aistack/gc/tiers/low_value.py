"""The least valuable solutions, where there are more than may be."""

from collections.abc import AsyncIterator

from aistack.coordinator.trash import Seen
from aistack.gc.context import Context
from aistack.gc.model import Step
from aistack.gc.ranking import ranked


async def steps(context: Context) -> AsyncIterator[Step]:
    """As many as it takes to come down to the ratio."""
    rules = context.settings
    with context.tier("low_value") as report:
        left = context.live - len(context.gone)
        wanted = left - int(rules.max_solutions * rules.keep_ratio)
        if left <= rules.max_solutions:
            return
        async for row in ranked(context.postgres):
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
                seen=Seen.of(row),
            )
            if report.discards == wanted:
                return
        context.warnings.append(
            f"{wanted - report.discards} solutions more should go for gc.max_solutions, "
            "but are pinned, or stay for duplicates that go now"
        )
