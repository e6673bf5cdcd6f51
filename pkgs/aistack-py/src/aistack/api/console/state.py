"""What the console keeps in memory between requests, in each process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aistack.api.console.traffic import Traffic
from aistack.host.look import look
from aistack.host.model import Finding
from aistack.jobs.ledger import JobRun, Ledger
from aistack.kit import tasks
from aistack.kit.cached import Cached

if TYPE_CHECKING:
    from aistack.wiring import Stack

_HOST_S = 30.0
"""Seconds for which a look at the host is good: it takes some itself."""
_JOBS_S = 3.0
_PATIENCE_S = 1.0
"""Seconds that a page waits for what takes long."""
_LAPSED_S = 60.0
"""Seconds for which something is still shown past its time, while it is read anew."""
JOBS = 60
"""Runs of the ledger that are shown at most."""


class State:
    """Traffic of the last hour, the host as it was seen last, and what goes on in the background.

    Args:
        stack: what is looked at.
    """

    def __init__(self, stack: Stack) -> None:
        self.traffic = Traffic(stack.metrics)
        self._host: Cached[list[Finding]] = Cached(lambda: look(stack.settings), _HOST_S)
        ledger = Ledger(stack.postgres)
        self._jobs: Cached[list[JobRun]] = Cached(lambda: ledger.runs(limit=JOBS), _JOBS_S)
        self.planning = asyncio.Lock()
        self._works: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample within the block; what was begun in the background ends with it."""
        sampling = asyncio.create_task(self.traffic.run(), name="console traffic")
        try:
            yield
        finally:
            await asyncio.gather(*(tasks.end(task) for task in (sampling, *self._works)))
            await asyncio.gather(self._host.close(), self._jobs.close())

    async def host(self) -> list[Finding] | None:
        """What the last look at the host found; None: it takes long, and none is new enough."""
        return await self._host.soon(_PATIENCE_S, _LAPSED_S)

    async def jobs(self) -> list[JobRun] | None:
        """The newest runs of jobs; None as with `host`."""
        return await self._jobs.soon(_PATIENCE_S, _LAPSED_S)

    async def work(self, work: Awaitable[None], patience_s: float) -> bool:
        """Begin something, and wait a while for its end; it goes on where it takes longer.

        Returns:
            Whether it has ended.

        Raises:
            AistackError: what it raised within that time.
        """
        task = asyncio.ensure_future(work)
        self._works.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait([task], timeout=patience_s)
        if done:
            task.result()
        return bool(done)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        tasks.seen(task)  # the work itself tells the log and the history
