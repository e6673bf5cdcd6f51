"""What takes long is read once for all, and is never shown as newer than it is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from aistack.api.console import state
from aistack.api.console.state import Cached
from aistack.errors import UnavailableError

pytestmark = pytest.mark.anyio


class Slow:
    """A reading that lasts until it is let go on, at a time of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.readings = 0
        self.go = asyncio.Event()
        self.error: Exception | None = None
        monkeypatch.setattr(state, "_PATIENCE_S", 0.01)
        monkeypatch.setattr(state, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    async def read(self) -> int:
        self.readings += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.readings


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


async def test_it_is_read_once_for_all_and_not_before_its_time(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    assert await asyncio.gather(cached.value(), cached.value()) == [None, None]
    slow.go.set()
    assert await asyncio.gather(cached.value(), cached.value()) == [1, 1]
    slow.now_s += 29
    assert await cached.value() == 1
    slow.now_s += 1
    assert await cached.value() == 2


async def test_what_was_read_after_the_last_one_left_is_as_old_as_it_is(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    assert await cached.value() is None
    slow.go.set()
    await asyncio.sleep(0.01)
    slow.now_s += 3600
    assert await cached.value() == 2


async def test_what_is_far_too_old_is_not_shown_while_it_is_read_anew(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    slow.go.set()
    assert await cached.value() == 1
    slow.go.clear()
    slow.now_s += 60
    assert await cached.value() == 1
    slow.now_s += 3600
    assert await cached.value() is None
    await cached.close()


async def test_all_who_wait_are_told_what_went_wrong(slow: Slow) -> None:
    cached = Cached(slow.read, 30)
    slow.error = UnavailableError("the database does not answer")
    slow.go.set()
    told = await asyncio.gather(cached.value(), cached.value(), return_exceptions=True)
    assert told == [slow.error, slow.error]
    slow.error = None
    assert await cached.value() == 2
