"""Something that takes long to find out: once for all who ask within some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from aistack.errors import AistackError

T = TypeVar("T")

_REST = 10
"""Times as long as a reading took, for which it is kept: it never takes more than a tenth."""


class Shared(Generic[T]):
    """A value that is read when it is asked for, and kept for a while; one reads for all who wait.

    Args:
        read: finds it out.
        seconds: for which it is kept at least, from when the reading began.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._known: tuple[T] | None = None
        self._until = 0.0
        self._failed: tuple[float, AistackError] | None = None
        self._lock = asyncio.Lock()

    async def value(self) -> T:
        """What was read last, or is read now.

        Raises:
            AistackError: what the reading raised; also to those who waited for it.
        """
        asked = time.monotonic()
        async with self._lock:
            if self._known is not None and time.monotonic() < self._until:
                return self._known[0]
            if self._failed is not None and self._failed[0] >= asked:
                raise self._failed[1]
            start = time.monotonic()
            try:
                value = await self._read()
            except AistackError as exc:
                self._failed = (time.monotonic(), exc)
                raise
            self._known = (value,)
            self._until = start + max(self._seconds, _REST * (time.monotonic() - start))
            return value
