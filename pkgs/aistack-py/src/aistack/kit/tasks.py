"""The end of background tasks."""

import asyncio
from typing import Any

_PATIENCE_S = 0.2


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait for its end, whatever it ends with.

    Asked again and again: a cancellation can get lost. `anyio.connect_tcp` (4.13), by which httpx
    connects, drops one that comes while it closes its task group, and `asyncio.wait_for` of Python
    3.11, by which psycopg waits, one that comes with the result. A task that works for ever would
    then work for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_S)


def heed_cancellation() -> None:
    """Raise the `asyncio.CancelledError` that a call which just returned has dropped, if any."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def seen(task: "asyncio.Task[Any]") -> None:
    """Nobody may be waiting for its error; asyncio would log that as a fault of ours."""
    if not task.cancelled():
        task.exception()
