"""A crash before a statement, whichever it is: the next run does the rest, nothing is lost."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from psycopg import AsyncConnection
from stock import NGINX, ZONE, findable, lenient, live, put, rows, run, trash

from aistack.gc.sweep import sweep
from aistack.settings.schema import Settings
from aistack.stores.qdrant import Qdrant
from aistack.wiring import Stack, open_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.repeats, pytest.mark.timeout(600)]


STRIDE = int(os.environ.get("AISTACK_GC_CRASH_STRIDE", "2"))
"""Statements from one crash to the next; 1: before every single one."""


class CrashError(BaseException):
    """Not an Exception: nothing may catch it and go on."""


@contextmanager
def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[list[int]]:
    """From its n-th call to PostgreSQL or Qdrant on, the process can reach neither."""
    count = [0]
    execute, call = AsyncConnection.execute, Qdrant.run

    async def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        if count[0] >= number:
            raise CrashError
        return await execute(self, *args, **kwargs)

    async def asked(self: Any, *args: Any) -> Any:
        count[0] += 1
        if count[0] >= number:
            raise CrashError
        return await call(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(AsyncConnection, "execute", counted)
        patched.setattr(Qdrant, "run", asked)
        yield count


async def stocked(stack: Stack) -> dict[str, Any]:
    """One of each: expired, duplicate, low value, orphan point, lost document, old trash."""
    for table in ("gc_deletions", "gc_runs", "gc_totals", "solutions", "documents"):
        await rows(stack, f"with gone as (delete from {table}) select 1")  # noqa: S608
    for query in ("delete from interactions returning 1", "delete from outbox returning 1"):
        await rows(stack, query)
    put_away = await put(stack)
    await rows(
        stack, "update solutions set deleted_at = now() - interval '9 days' where id = %(id)s"
        " returning id", id=put_away,
    )  # fmt: skip
    await rows(stack, "delete from documents returning id")
    best = await put(stack, NGINX, ZONE, value=0.9, successes=3)
    twin = await put(stack, NGINX + "?", ZONE, value=0.8, successes=2)
    old = await put(stack, value=0.1, age_days=40)
    least = await put(stack, value=0.6)
    lost = await put(stack, value=0.9)
    await rows(stack, "delete from documents where path = %(p)s returning id", p=f"{lost}.md")
    await stack.indexer.drain()
    return {"best": best, "twin": twin, "old": old, "least": least, "lost": lost}


async def free(stack: Stack) -> None:
    """The lock of a dead process goes when its server process notices."""
    while (await stack.collector.status()).running:  # noqa: ASYNC110 - of another process
        await anyio.sleep(0.01)


async def settled(stack: Stack, known: dict[str, Any]) -> None:
    """Everything as it must be, however often it was interrupted."""
    await run(stack)
    gone = {known["twin"]: "duplicate", known["old"]: "expired", known["least"]: "low_value"}
    assert await trash(stack) == gone
    assert await live(stack) == {known["best"], known["lost"]}
    assert await findable(stack) == {f"{known['best']}.md", f"{known['lost']}.md"}
    (row,) = await rows(stack, "select successes from solutions where id = %(i)s", i=known["best"])
    assert row["successes"] == 5, "counted in once"
    recorded = await rows(stack, "select subject, reason from gc_deletions")
    assert {row["subject"]: row["reason"] for row in recorded} == gone
    assert len(recorded) == 3
    totals = await rows(stack, "select label, value from gc_totals where metric = 'deleted'")
    assert {r["label"]: r["value"] for r in totals} == dict.fromkeys(gone.values(), 1)


async def test_a_run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = lenient(settings, max_solutions=2, keep_ratio=1.0, grace_s=3600)
    async with open_stack(rules, index=False) as stack:
        number, done = 0, False
        while not done:
            number += STRIDE
            known = await stocked(stack)
            with crash_at(monkeypatch, number):
                try:
                    await run(stack)
                    done = True
                except CrashError:
                    pass
            await free(stack)
            await settled(stack, known)
        assert number > 60, "it was interrupted at many places"


async def test_an_undo(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = lenient(settings, max_solutions=2, keep_ratio=1.0, grace_s=3600)
    async with open_stack(rules, index=False) as stack:
        number, done = 0, False
        while not done:
            number += 2 * STRIDE  # the same few statements for each solution
            known = await stocked(stack)
            taken = (await run(stack)).run
            with crash_at(monkeypatch, number):
                try:
                    await stack.collector.undo(taken)
                    done = True
                except CrashError:
                    pass
            await free(stack)
            await stack.collector.undo(taken)
            assert await live(stack) == set(known.values())
            assert await findable(stack) == {f"{own}.md" for own in known.values()}
            query = "select successes from solutions where id = %(i)s"
            (row,) = await rows(stack, query, i=known["best"])
            assert row["successes"] == 3, "taken back once"
        assert number > 30


async def test_a_sweep(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duplicate's interactions and duplicates go to its keeper, or stay with it."""
    async with open_stack(lenient(settings, grace_s=3600), index=False) as stack:
        number, done = 0, False
        while not done:
            number += 1
            known = await stocked(stack)
            await run(stack)
            await rows(
                stack, "insert into interactions (created_by, question, response, solution_id)"
                " values ('x', 'q', 'a', %(twin)s) returning id", twin=known["twin"],
            )  # fmt: skip
            await rows(
                stack, "update solutions set deleted_at = deleted_at - interval '8 days'"
                " where deleted_at is not null returning id",
            )  # fmt: skip
            moment = datetime.now(UTC)
            with crash_at(monkeypatch, number):
                try:
                    await sweep(stack.postgres, stack.collector._trash, stack.settings.gc, moment)
                    done = True
                except CrashError:
                    pass
            await free(stack)
            (row,) = await rows(stack, "select solution_id from interactions")
            assert row["solution_id"] in {known["twin"], known["best"]}
            await sweep(stack.postgres, stack.collector._trash, stack.settings.gc, moment)
            (row,) = await rows(stack, "select solution_id from interactions")
            assert row["solution_id"] == known["best"]
            assert not await trash(stack)
            (row,) = await rows(
                stack, "select 6 - (select count(*) from solutions) as gone, value from gc_totals"
                " where metric = 'swept' and label = 'trash'",
            )  # fmt: skip
            assert row["value"] == row["gone"], "each is counted once"
        assert number > 8
