import asyncio
import math
from collections.abc import Sequence

import pytest
from index_lock import LOCK, lose_lock

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import UnavailableError
from aistack.knowledge import indexer
from aistack.knowledge.model import NewDocument, Query
from aistack.knowledge.vectors import Point, Vectors
from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


async def put(stack: Stack, path: str, text: str) -> None:
    document = NewDocument(path=path, source=text.encode())
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)


async def points_and_chunks(stack: Stack) -> tuple[int, int]:
    generations = [g for g in await stack.generations.all() if g.collection == "nixos_docs"]
    assert [g.state for g in generations] == ["live"]
    chunks = (await stack.collections.get(LOCAL_OPERATOR, "nixos_docs")).chunks
    return await Vectors(stack.qdrant).count(generations[0].index_name), chunks


async def found(stack: Stack, text: str) -> list[str]:
    page = await stack.search.search(LOCAL_OPERATOR, Query(query=text, collection="nixos_docs"))
    return [hit.path for hit in page.hits]


async def test_the_index_follows_puts_updates_and_deletes(stack: Stack) -> None:
    for number in range(40):
        await put(stack, f"{number}.md", f"text number {number} " * 80)
    await stack.indexer.drain()
    for number in range(0, 40, 3):
        await put(stack, f"{number}.md", "shorter now")
    await stack.documents.delete_project(LOCAL_OPERATOR, "nixos_docs", "default")
    await put(stack, "last.md", "only this is left")
    await stack.indexer.drain()
    assert await points_and_chunks(stack) == (1, 1)
    assert await stack.indexer.backlog() == (0, 0)


async def test_a_lost_index_is_rebuilt(stack: Stack) -> None:
    await put(stack, "a.md", "remember me")
    await stack.indexer.drain()
    generation = next(g for g in await stack.generations.all() if g.collection == "nixos_docs")
    await Vectors(stack.qdrant).drop(generation.index_name)
    assert await stack.indexer.drain()
    assert await found(stack, "remember") == ["a.md"]


async def test_a_rebuild_swaps_when_complete_and_keeps_what_is_written_meanwhile(
    stack: Stack,
) -> None:
    for number in range(5):
        await put(stack, f"{number}.md", f"alpha {number}")
    await stack.indexer.drain()
    before = next(g for g in await stack.generations.all() if g.collection == "nixos_docs")
    await stack.generations.begin_rebuild("nixos_docs")
    await put(stack, "new.md", "alpha new")
    assert len(await found(stack, "alpha")) == 5  # the old generation answers
    await stack.indexer.drain()
    after = [g for g in await stack.generations.all() if g.collection == "nixos_docs"]
    assert [g.state for g in after] == ["live"]
    assert after[0].index_name != before.index_name
    assert len(await found(stack, "alpha")) == 6
    assert not await Vectors(stack.qdrant).exists(before.index_name)
    assert await points_and_chunks(stack) == (6, 6)


class Told:
    """The gauge of what waits, which remembers all that it was told."""

    def __init__(self) -> None:
        self.values: list[int] = []

    def set(self, value: int) -> None:
        self.values.append(value)


async def test_a_backlog_is_not_counted_again_for_each_batch(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.indexer.drain()
    for number in range(10):
        await put(stack, f"{number}.md", f"text {number}")
    told = Told()
    monkeypatch.setattr(stack.indexer, "_counted", -math.inf)
    monkeypatch.setattr(stack.indexer._metrics, "pending", told)
    monkeypatch.setattr(indexer, "_BATCH", 1)
    monkeypatch.setattr(indexer, "_COUNT_S", 60.0)
    await stack.indexer.drain()
    assert told.values == [10, 0]
    for number in range(3):
        await put(stack, f"{number}.md", f"other text {number}")
    monkeypatch.setattr(indexer, "_COUNT_S", 0.0)
    await stack.indexer.drain()
    assert told.values[2:] == [3, 2, 1, 0, 0]


async def test_an_idle_indexer_tells_how_much_waits(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "_POLL_S", 0.1)
    monkeypatch.setattr(indexer, "_COUNT_S", 60.0)
    async with open_stack(settings, index=True) as stack:
        told = Told()
        monkeypatch.setattr(stack.indexer._metrics, "pending", told)
        await put(stack, "a.md", "some text")
        async with asyncio.timeout(30):
            while await stack.indexer.backlog() != (0, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        told.values.clear()
        async with asyncio.timeout(10):
            while told.values[-1:] != [0]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_only_one_indexer_works_at_a_time(stack: Stack) -> None:
    async with stack.postgres.dedicated() as conn:
        await conn.execute("select pg_advisory_lock(%s)", (LOCK,))
        assert await stack.indexer.drain() is False
    assert await stack.indexer.drain() is True


async def test_an_indexer_that_lost_its_lock_goes_on_with_no_other_collection(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.indexer.drain()
    for collection in ("nixos_docs", "tool_schemas"):
        new = NewDocument(path="a.md", source=b"some text")
        await stack.documents.put(LOCAL_OPERATOR, collection, new)
    written = []

    async def upsert(index: str, points: Sequence[Point]) -> None:
        written.append((index, len(points)))
        await lose_lock(stack.postgres)

    with monkeypatch.context() as patch:
        patch.setattr(stack.indexer._vectors, "upsert", upsert)
        with pytest.raises(UnavailableError, match="lock is gone"):
            await stack.indexer.drain()
    assert len(written) == 1
    assert await stack.indexer.backlog() == (2, 0)
    await stack.indexer.drain()
    assert await stack.indexer.backlog() == (0, 0)
