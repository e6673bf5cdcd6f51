"""The plan of a run: read only, and the same for a dry run as for a run.

Its steps go to a file as they are found, so that a plan of a million needs no memory.
"""

from collections.abc import AsyncIterator, Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

import msgspec

from aistack.gc import sweep
from aistack.gc.context import Context
from aistack.gc.model import Plan, Step
from aistack.gc.tiers import duplicates, expired, low_value, orphans

_IN_MEMORY = 4 * 1024 * 1024
_TIERS = (orphans, expired, duplicates, low_value)


class PlanFile:
    """The steps of a plan, to be written once and read as often as wanted."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by exit
        self._decoder = msgspec.json.Decoder(Step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, step: Step) -> None:
        """Write one more step."""
        self._file.write(msgspec.json.encode(step) + b"\n")

    def steps(self) -> Iterator[Step]:
        """All steps, in their order."""
        self._file.seek(0)
        yield from map(self._decoder.decode, self._file)


async def make(context: Context, file: PlanFile) -> Plan:
    """Plan a run: the steps into the file, the rest returned.

    Raises:
        UnavailableError: PostgreSQL does not answer. Without the index, its tier is skipped.
    """
    async for step in _steps(context):
        file.add(step)
    return Plan(
        planned_at=context.now,
        live=context.live,
        pinned=context.moment.pinned,
        tiers={str(name): report for name, report in context.reports.items()},
        sweeps=await sweep.count(context.postgres, context.settings, context.now),
        compared_until=context.finished,
        warnings=context.warnings,
    )


async def _steps(context: Context) -> AsyncIterator[Step]:
    for tier in _TIERS:
        async for step in tier.steps(context):
            yield step
