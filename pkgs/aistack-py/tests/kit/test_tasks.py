"""A task ends even if what it waits for swallows cancellations."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from aistack.kit import tasks

pytestmark = pytest.mark.anyio


async def test_a_lost_cancellation_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_PATIENCE_S", 0.01)
    lost = 0

    async def works_for_ever() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(works_for_ever())
    await asyncio.sleep(0)
    await tasks.end(task)
    assert task.cancelled()
    assert lost == 3


async def test_a_task_that_failed_or_ended_is_no_error() -> None:
    async def fails() -> None:
        raise ValueError

    failed, ended = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0.01)
    await tasks.end(failed)
    await tasks.end(ended)
    assert isinstance(failed.exception(), ValueError)
    assert not ended.cancelled()


async def test_a_dropped_cancellation_is_heeded_late() -> None:
    steps = []

    async def drops_one() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("dropped")
        tasks.heed_cancellation()
        steps.append("went on")

    task = asyncio.create_task(drops_one())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert steps == ["dropped"]


@pytest.mark.slow
@pytest.mark.repeats
def test_a_task_that_asks_qdrant_for_ever_ends_at_once() -> None:
    """As the indexer does when a service is stopped. A process of its own: with a cancellation
    anyio drops the connection, unclosed, and pytest minds."""
    program = str(Path(__file__).with_name("asker.py"))
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
