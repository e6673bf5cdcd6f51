"""Pages are read one in advance, and whoever stops early leaves nothing behind."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from aistack.kit.ahead import ahead

pytestmark = pytest.mark.anyio


class Pages:
    """Numbers as pages; remembers how far it was read and whether it was closed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.read = 0
        self.closed = False

    async def all(self) -> AsyncGenerator[int, None]:
        try:
            while self.read < self.number:
                await asyncio.sleep(0)
                self.read += 1
                yield self.read
        finally:
            self.closed = True


async def test_every_page_comes_once_and_in_order() -> None:
    pages = Pages(4)
    assert [page async for page in ahead(pages.all())] == [1, 2, 3, 4]
    assert pages.closed
    assert [page async for page in ahead(Pages(0).all())] == []


async def test_the_next_page_is_read_meanwhile_and_no_more() -> None:
    pages = Pages(4)
    async with aclosing(ahead(pages.all())) as found:
        async for page in found:
            for _ in range(5):
                await asyncio.sleep(0)
            assert pages.read == min(4, page + 1)


async def test_who_stops_early_leaves_no_task_behind() -> None:
    pages = Pages(4)
    before = asyncio.all_tasks()
    async with aclosing(ahead(pages.all())) as found:
        assert await anext(found) == 1
    assert pages.closed
    assert asyncio.all_tasks() == before


async def test_an_error_comes_after_the_pages_before_it() -> None:
    async def fails() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("the disk")

    async with aclosing(ahead(fails())) as pages:
        assert await anext(pages) == 1
        with pytest.raises(OSError, match="the disk"):
            await anext(pages)
