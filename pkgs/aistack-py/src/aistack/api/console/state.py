"""What the console keeps in memory between requests, in each process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aistack.api.console.traffic import Traffic
from aistack.host.look import look
from aistack.host.model import Finding
from aistack.jobs.ledger import JobRun, Ledger
from aistack.kit import tasks

if TYPE_CHECKING:
    from aistack.wiring import Stack

T = TypeVar("T")

_HOST_S = 30.0
"""Seconds for which a look at the host is good: it takes some itself."""
_JOBS_S = 3.0
_PATIENCE_S = 1.0
"""Seconds that a page waits for what takes long."""
_LAPSED_S = 60.0
"""Seconds for which something is still shown past its time, while it is read anew."""
JOBS = 60
"""Runs of the ledger that are shown at most."""


class Cached(Generic[T]):
    """Something that is read when it is asked for, once for all who ask within some seconds."""

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._value: T | None = None
        self._until = 0.0
        self._reading: asyncio.Task[T] | None = None

    async def value(self) -> T | None:
        """What was read last; None: it takes long, and nothing is known that is not too old.

        Raises:
            AistackError: what the reading raised.
        """
        if self._reading is None and time.monotonic() >= self._until:
            self._reading = asyncio.create_task(self._renew())
            self._reading.add_done_callback(_seen)
        if (reading := self._reading) is not None:
            await asyncio.wait([reading], timeout=_PATIENCE_S)
            if reading.done():
                return reading.result()
        return self._value if time.monotonic() < self._until + _LAPSED_S else None

    async def _renew(self) -> T:
        """Its age counts from here: nobody may be waiting for it any more."""
        try:
            value = self._value = await self._read()
            self._until = time.monotonic() + self._seconds
        finally:
            self._reading = None
        return value

    async def close(self) -> None:
        """Let go of what is being read."""
        if self._reading is not None:
            await tasks.end(self._reading)


class State:
    """Traffic of the last hour, the host as it was seen last, and what goes on in the background.

    Args:
        stack: what is looked at.
    """

    def __init__(self, stack: Stack) -> None:
        self.traffic = Traffic(stack.metrics)
        self.host: Cached[list[Finding]] = Cached(lambda: look(stack.settings), _HOST_S)
        ledger = Ledger(stack.postgres)
        self.jobs: Cached[list[JobRun]] = Cached(lambda: ledger.runs(limit=JOBS), _JOBS_S)
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
            await asyncio.gather(self.host.close(), self.jobs.close())

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
        _seen(task)  # the work itself tells the log and the history


def _seen(task: asyncio.Task[Any]) -> None:
    """Nobody may be waiting for its error; asyncio would log that as a fault of ours."""
    if not task.cancelled():
        task.exception()
