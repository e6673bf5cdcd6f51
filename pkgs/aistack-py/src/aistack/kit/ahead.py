"""Reading ahead: the next page is on its way while this one is worked on."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from aistack.kit import tasks

T = TypeVar("T")


async def ahead(pages: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same pages, one read in advance; so two are in memory.

    Args:
        pages: closed when this ends, early or not.
    """
    async with aclosing(pages):
        reading = asyncio.create_task(_next(pages))
        try:
            while found := await reading:
                reading = asyncio.create_task(_next(pages))
                yield found[0]
        finally:
            await tasks.end(reading)


async def _next(pages: AsyncGenerator[T, None]) -> tuple[T] | None:
    """The next page; None after the last."""
    try:
        return (await anext(pages),)
    except StopAsyncIteration:  # which no task may end with
        return None
