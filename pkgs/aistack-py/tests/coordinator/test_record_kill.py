"""kill -9 between record and index: nothing lost, nothing learned twice, index as source."""

import os
import random
import time
from pathlib import Path

import anyio
import pytest
import recorder
import warm
from toy import rows

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import COLLECTION
from aistack.knowledge.model import Query
from aistack.settings.schema import Settings
from aistack.wiring import open_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.repeats, pytest.mark.timeout(600)]

KILLS = int(os.environ.get("AISTACK_RECORD_KILLS", "8"))


async def test_kills_lose_nothing_and_learn_nothing_twice(
    settings: Settings, tmp_path: Path
) -> None:
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    acknowledged = tmp_path / "acknowledged"
    acknowledged.touch()
    for kill in range(KILLS):
        process = warm.start(recorder.run, settings, kill, str(acknowledged))
        before = acknowledged.stat().st_size
        deadline = time.monotonic() + 30
        while acknowledged.stat().st_size == before and time.monotonic() < deadline:  # noqa: ASYNC110
            await anyio.sleep(0.005)
        await anyio.sleep(chance.random() * 0.4)
        warm.kill(process)
        assert acknowledged.stat().st_size > before, "it did nothing before it was killed"
    async with open_stack(settings, index=False) as stack:
        for _ in range(100):
            if await stack.indexer.drain():
                break
            await anyio.sleep(0.1)
        told = {line for line in acknowledged.read_text().split() if len(line) == 36}
        stored = await rows(stack, "select id::text, solution_id, outcome, value from interactions")
        assert told <= {row["id"] for row in stored}, "an acknowledged interaction is lost"
        assert all(row["solution_id"] and row["outcome"] and row["value"] for row in stored)
        found = await rows(
            stack,
            "select s.*, d.indexed_revision = d.revision as indexed, (select count(*) from"
            " interactions i where i.solution_id = s.id) as members"
            " from solutions s left join documents d on d.id = s.document_id",
        )
        assert len(found) == len({row["question"] for row in found}) <= recorder.PROBLEMS
        assert all(row["indexed"] and row["successes"] == row["members"] for row in found)
        query = Query(query="how solved", collection=COLLECTION, limit=100)
        page = await stack.search.search(LOCAL_OPERATOR, query)
        assert {h.document_id for h in page.hits} == {row["document_id"] for row in found}
