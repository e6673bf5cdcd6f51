"""Who would not wait is told what was known before, and never as newer than it is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from aistack.errors import UnavailableError
from aistack.kit import cached as module
from aistack.kit.cached import Cached

pytestmark = pytest.mark.anyio


class Slow:
    """A reading that lasts until it is let go on, at a time of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.readings = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    async def read(self) -> int:
        self.readings += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.readings


async def asked(cached: Cached[int]) -> int | None:
    return await cached.soon(patience_s=0.1, lapsed_s=60)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


async def test_it_is_read_once_for_all_and_not_before_its_time(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    assert await asyncio.gather(asked(cached), asked(cached)) == [None, None]
    slow.go.set()
    assert await asyncio.gather(asked(cached), asked(cached)) == [1, 1]
    slow.now_s += 29
    assert await asked(cached) == 1
    slow.now_s += 1
    assert await asked(cached) == 2


async def test_what_was_read_after_the_last_one_left_is_as_old_as_it_is(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    assert await asked(cached) is None
    slow.go.set()
    await asyncio.sleep(0.01)
    slow.now_s += 3600
    assert await asked(cached) == 2


async def test_what_is_far_too_old_is_not_shown_while_it_is_read_anew(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    slow.go.set()
    assert await asked(cached) == 1
    slow.go.clear()
    slow.now_s += 60
    assert await asked(cached) == 1
    slow.now_s += 3600
    assert await asked(cached) is None
    await cached.close()


async def test_all_who_wait_are_told_what_went_wrong(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    slow.error = UnavailableError("the database does not answer")
    slow.go.set()
    told = await asyncio.gather(asked(cached), asked(cached), return_exceptions=True)
    assert told == [slow.error, slow.error]
    slow.error = None
    assert await asked(cached) == 2
