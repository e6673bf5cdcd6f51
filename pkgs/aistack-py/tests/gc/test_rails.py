"""When collecting is refused, and when not."""

import time
from uuid import uuid4

import httpx
import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse
from stock import index_name, lenient, plan, put, rows, run, trash

from aistack.errors import AistackError, UnavailableError
from aistack.gc.rails import RefusedError
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio


async def test_an_empty_table_beside_a_full_index_is_refused(stack: Stack) -> None:
    """The original took an empty table for the truth and deleted every vector."""
    for _ in range(3):
        await put(stack)
    await stack.indexer.drain()
    await rows(stack, "delete from solutions returning id")
    with pytest.raises(RefusedError):
        await plan(stack)
    with pytest.raises(RefusedError) as refused:
        await run(stack)
    assert refused.value.detail == (
        "PostgreSQL has no solutions, but the index has 6 passages of some: is this the right "
        "database (postgres.dsn), restored whole? If so, run aistack gc run --force"
    )
    (info,) = await stack.collector.history()
    assert (info.result, info.deleted) == ("refused", 0)
    assert info.report["error"] == refused.value.detail
    assert (await run(stack, force=True)).result == "ok"


async def test_only_passages_of_solutions_speak_against_an_empty_table(stack: Stack) -> None:
    own = await put(stack)
    await stack.indexer.drain()
    index = await index_name(stack)
    query = "select document_id from solutions where id = %(id)s"
    document = str((await rows(stack, query, id=own))[0]["document_id"])
    payload = {"project": "of others", "document": str(uuid4()), "indexed_at": int(time.time())}
    others = [
        models.PointStruct(
            id=number,
            vector={"bm25": models.SparseVector(indices=[1], values=[1.0])},
            payload=payload,
        )
        for number in range(5)
    ]
    await stack.qdrant.run(lambda c: c.upsert(index, others))
    await rows(stack, "delete from solutions returning id")
    with pytest.raises(RefusedError, match="the index has 2 passages"):
        await plan(stack)
    await stack.vectors.delete_stale(index, {document: None})
    made, _ = await plan(stack)
    assert (made.live, made.tiers["orphans"].foreign) == (0, 5)


async def test_a_new_store_is_not_refused(stack: Stack) -> None:
    await rows(stack, "delete from generations returning id")
    assert (await run(stack)).result == "partial", "there is no index yet"


async def test_an_empty_table_beside_an_index_that_is_gone_is_not_refused(stack: Stack) -> None:
    await put(stack)
    await stack.indexer.drain()
    await stack.vectors.drop(await index_name(stack))
    await rows(stack, "delete from solutions returning id")
    assert (await plan(stack))[0].live == 0


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("the index does not answer"),
        UnexpectedResponse(400, "Bad Request", b"strict mode", httpx.Headers()),
    ],
    ids=["away", "refuses"],
)
async def test_an_empty_table_beside_an_index_that_does_not_answer_is_not_refused(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, error: AistackError | UnexpectedResponse
) -> None:
    """Then no point can be taken, either."""

    async def fails(*_: object) -> None:
        raise error

    await put(stack)
    await rows(stack, "delete from solutions returning id")
    monkeypatch.setattr(Vectors, "exists", fails)
    made, steps = await plan(stack)
    assert made.tiers["orphans"].skipped
    assert not steps


async def test_a_table_with_all_in_the_trash_is_not_empty(settings: Settings) -> None:
    async with open_stack(lenient(settings), index=False) as stack:
        gone = await put(stack, value=0.1, age_days=99)
        await stack.indexer.drain()
        await run(stack)
        assert await trash(stack) == {gone: "expired"}
        assert await stack.vectors.count(await index_name(stack)) == 2, "not drained yet"
        assert (await run(stack)).result == "ok"


async def test_half_of_the_last_run_gone_is_refused(stack: Stack) -> None:
    for _ in range(10):
        await put(stack)
    await run(stack)
    await rows(stack, "delete from solutions where id in (select id from solutions limit 5)"
               " returning id")  # fmt: skip
    await run(stack)  # five of ten: as many as half
    await rows(stack, "delete from solutions where id in (select id from solutions limit 3)"
               " returning id")  # fmt: skip
    with pytest.raises(RefusedError) as refused:
        await run(stack)
    assert refused.value.detail == (
        "PostgreSQL has 2 solutions; after the last run there were 5. If it was you who deleted "
        "the others, run aistack gc run --force"
    )
    await run(stack, force=True)
    await run(stack)  # the forced one is the new measure
