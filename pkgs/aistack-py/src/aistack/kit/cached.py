"""Something that takes long to find out: once for all who ask within some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from aistack.kit import tasks

T = TypeVar("T")

_REST = 10
"""Times as long as a reading took, for which it is kept: it never takes more than a tenth."""


class Cached(Generic[T]):
    """A value that is read when it is asked for, and kept for a while; one reads for all who wait.

    A reading that was begun goes on, whoever goes away meanwhile.

    Args:
        read: finds it out.
        seconds: for which it is kept at least, from when the reading began.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._known: tuple[T] | None = None
        self._until = 0.0
        self._reading: asyncio.Task[T] | None = None

    async def value(self) -> T:
        """What was read last, or is read now.

        Raises:
            AistackError: what the reading raised; also to those who waited for it.
        """
        if self._known is not None and time.monotonic() < self._until:
            return self._known[0]
        return await asyncio.shield(self._begun())

    async def soon(self, patience_s: float, lapsed_s: float) -> T | None:
        """The same, for who would rather have an older one than wait longer.

        Args:
            patience_s: how long is waited.
            lapsed_s: for so long past its time the older one is given after that.

        Returns:
            None: it takes longer, and nothing is known that is not too old.

        Raises:
            AistackError: what the reading raised.
        """
        if self._known is not None and time.monotonic() < self._until:
            return self._known[0]
        reading = self._begun()
        await asyncio.wait([reading], timeout=patience_s)
        if reading.done():
            return reading.result()
        if self._known is not None and time.monotonic() < self._until + lapsed_s:
            return self._known[0]
        return None

    async def close(self) -> None:
        """Let go of what is being read."""
        if self._reading is not None:
            await tasks.end(self._reading)

    def _begun(self) -> "asyncio.Task[T]":
        if self._reading is None:
            self._reading = asyncio.create_task(self._renew())
            self._reading.add_done_callback(tasks.seen)
        return self._reading

    async def _renew(self) -> T:
        """Its age counts from here: nobody may be waiting for it any more."""
        start = time.monotonic()
        try:
            value = await self._read()
            self._known = (value,)
            self._until = start + max(self._seconds, _REST * (time.monotonic() - start))
        finally:
            self._reading = None
        return value
