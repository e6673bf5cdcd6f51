"""Solutions that are old: of low value, or older than anything may be."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from aistack.coordinator.trash import Seen
from aistack.gc.context import Context
from aistack.gc.model import Reason, Step, TierReport
from aistack.gc.ranking import ranked

Row = dict[str, Any]


async def steps(context: Context) -> AsyncIterator[Step]:
    """The solutions that are too old, least valuable first; past the allowance they are counted."""
    rules = context.settings
    with context.tier("expired") as report:
        old = ranked(context.postgres, value_below=rules.min_value, idle_since=_idle(context))
        async for step in _steps(context, report, old, "expired"):
            yield step
        if rules.hard_max_age_days is not None:
            learned = context.now - timedelta(days=rules.hard_max_age_days)
            too_old = ranked(context.postgres, learned_before=learned)
            async for step in _steps(context, report, too_old, "too_old"):
                yield step


async def _steps(
    context: Context, report: TierReport, rows: AsyncIterator[Row], reason: Reason
) -> AsyncIterator[Step]:
    async for row in rows:
        if row["id"] in context.gone:
            continue
        if context.allowance <= 0:
            # One that is of low value, too, was counted for that.
            report.held_back += reason == "expired" or not _expired(context, row)
            continue
        report.discards += 1
        context.gone.add(row["id"])
        yield Step(
            tier="expired",
            action="discard",
            subject=row["id"],
            reason=reason,
            evidence={
                "value": round(row["value"], 4),
                "learned_at": row["created_at"].isoformat(),
                "used_at": row["used_at"].isoformat(),
            },
            seen=Seen.of(row),
        )


def _idle(context: Context) -> datetime:
    """Since when a solution of low value may not have been idle."""
    return context.now - timedelta(days=context.settings.max_age_days)


def _expired(context: Context, row: Row) -> bool:
    low = row["value"] < context.settings.min_value
    return bool(low and row["idle_since"] < _idle(context))
