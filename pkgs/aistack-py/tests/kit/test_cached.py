"""What takes long is read once for all who ask."""

import asyncio
import time

import pytest

from aistack.errors import UnavailableError
from aistack.kit.cached import Cached
from aistack.kit.tasks import end

pytestmark = pytest.mark.anyio


class Source:
    """Counts how often it is read; waits each time until it may answer."""

    def __init__(self) -> None:
        self.reads = 0
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self) -> int:
        self.reads += 1
        number = self.reads
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return number


async def begun(cached: Cached[int], number: int) -> list[asyncio.Task[int]]:
    """So many that ask at once, and have all begun to."""
    asking = [asyncio.create_task(cached.value()) for _ in range(number)]
    for _ in range(3):
        await asyncio.sleep(0)
    return asking


async def test_one_reads_for_all_who_ask_at_once_and_for_a_while_after() -> None:
    source = Source()
    cached = Cached(source, 60)
    asking = await begun(cached, 10)
    source.may_answer.set()
    assert await asyncio.gather(*asking) == [1] * 10
    assert await cached.value() == 1
    assert source.reads == 1


async def test_it_is_read_again_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    reads = []

    async def read() -> int:
        nonlocal now
        now += 2  # seconds that it takes
        reads.append(now)
        return len(reads)

    quick, slow = Cached(read, 60), Cached(read, 5)
    assert await quick.value() == 1
    now = 1059.9
    assert await quick.value() == 1
    now = 1060
    assert await quick.value() == 2
    now = 2000.0
    assert await slow.value() == 3
    now = 2019.9
    assert await slow.value() == 3, "it takes 2 s: for ten times as long it is good"
    now = 2020
    assert await slow.value() == 4


async def test_an_error_is_for_those_who_waited_and_no_later_one() -> None:
    source = Source()
    source.error = UnavailableError("away")
    cached = Cached(source, 60)
    asking = await begun(cached, 3)
    source.may_answer.set()
    errors = await asyncio.gather(*asking, return_exceptions=True)
    assert errors == [source.error] * 3
    assert source.reads == 1
    source.error = None
    assert await cached.value() == 2


async def test_one_who_goes_away_takes_the_reading_from_nobody() -> None:
    source = Source()
    cached = Cached(source, 60)
    first, second = await begun(cached, 2)
    await end(first)
    source.may_answer.set()
    assert await second == 1
    assert source.reads == 1
