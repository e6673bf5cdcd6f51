"""kill -9 at random points of an import: nothing lost, nothing half-visible, index as source."""

import os
import random
import time
from pathlib import Path

import anyio
import child
import pytest
import warm

from aistack.access.model import LOCAL_OPERATOR
from aistack.knowledge.model import Query
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.repeats, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("AISTACK_KILLS", "50"))
SEED = int(os.environ.get("AISTACK_SEED", "1"))


async def test_fifty_kills_lose_nothing(settings: Settings, tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    for kill in range(KILLS):
        process = warm.start(child.run, settings, kill, str(acknowledged))
        before = acknowledged.stat().st_size
        deadline = time.monotonic() + 30
        # Killed between the first acknowledgement of its own and soon after.
        while acknowledged.stat().st_size == before and time.monotonic() < deadline:  # noqa: ASYNC110
            await anyio.sleep(0.005)
        await anyio.sleep(chance.random() * 0.4)
        warm.kill(process)
        assert acknowledged.stat().st_size > before, "the child did nothing before it was killed"
    async with open_stack(settings, index=False) as stack:
        await check(stack, acknowledged)


async def check(stack: Stack, acknowledged: Path) -> None:
    async for attempt in _attempts():
        if await stack.indexer.drain():
            break
        assert attempt < 100, "a killed process still holds the indexer's lock"
    last = dict(line.split("=") for line in acknowledged.read_text().split() if "=" in line)
    page = await stack.documents.list(LOCAL_OPERATOR, "nixos_docs", limit=100)
    stored = {d.path: d for d in page.documents}
    assert set(last) <= set(stored), "an acknowledged document is lost"
    for path, generation in last.items():
        content = (await stack.documents.get(LOCAL_OPERATOR, stored[path].id)).content
        # The put after the last acknowledged one may have committed, too.
        seen = {word for word in content.split() if word.startswith("generation")}
        assert len(seen) == 1, "a document of two halves"
        assert int(seen.pop().removeprefix("generation")) >= int(generation)
        assert stored[path].indexed
    live = [g for g in await stack.generations.all() if g.collection == "nixos_docs"]
    chunks = (await stack.collections.get(LOCAL_OPERATOR, "nixos_docs")).chunks
    assert await Vectors(stack.qdrant).count(live[0].index_name) == chunks
    found = await stack.search.search(
        LOCAL_OPERATOR, Query(query="common", collection="nixos_docs", limit=100)
    )
    assert found.total.value == chunks


async def _attempts():  # type: ignore[no-untyped-def]  # an async generator
    for attempt in range(101):
        yield attempt
        await anyio.sleep(0.1)
