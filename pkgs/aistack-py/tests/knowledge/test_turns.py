"""Many collections: what a document waits for, and whose turn it is."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from plans import rows_read
from qdrant_client.http.exceptions import UnexpectedResponse

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import AistackError, UnavailableError
from aistack.knowledge import indexer
from aistack.knowledge.model import NewDocument, Query
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Settings
from aistack.stores.sqlfile import load_queries
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

QUERIES = load_queries("aistack.knowledge", "index.sql")
OTHERS = 200
BACKLOG = 8000


async def put(stack: Stack, collection: str, path: str) -> None:
    new = NewDocument(path=path, source=b"remember me")
    await stack.documents.put(LOCAL_OPERATOR, collection, new)


async def found(stack: Stack, collection: str) -> list[str]:
    query = Query(query="remember", collection=collection)
    return sorted(hit.path for hit in (await stack.search.search(LOCAL_OPERATOR, query)).hits)


async def index_of(stack: Stack, collection: str) -> str:
    names = [g.index_name for g in await stack.generations.all() if g.collection == collection]
    assert len(names) == 1
    return names[0]


async def until_indexed(stack: Stack) -> None:
    async with asyncio.timeout(30):
        while await stack.indexer.backlog() != (0, 0):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_made(stack: Stack) -> None:
    wanted = {g.index_name for g in await stack.generations.all()}
    async with asyncio.timeout(30):
        while not wanted <= await Vectors(stack.qdrant).names():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def recorded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    run = stack.qdrant.run

    async def recorder(call: Callable[..., Any]) -> Any:
        names.append(call.__qualname__.partition(".<locals>")[0])
        return await run(call)

    monkeypatch.setattr(stack.qdrant, "run", recorder)
    return names


async def test_a_document_waits_for_no_call_about_other_collections(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recorded(stack, monkeypatch)
    await stack.indexer.drain()
    assert asked.count("Vectors.exists") >= 6
    asked.clear()
    looked: list[str] = []
    due = stack.indexer._due

    async def recorder(generation: Any) -> Any:
        looked.append(generation.collection)
        return await due(generation)

    monkeypatch.setattr(stack.indexer, "_due", recorder)
    await put(stack, "nixos_docs", "a.md")
    await stack.indexer.drain()
    assert asked == ["Vectors.names", "Vectors.exists", "Vectors._upsert"]
    assert looked == ["nixos_docs"]


async def test_qdrant_is_asked_what_it_has_once_a_minute_and_after_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "_POLL_S", 0.05)
    async with open_stack(settings, index=True) as stack:
        await put(stack, "nixos_docs", "a.md")
        await until_indexed(stack)
        await until_made(stack)
        asked = recorded(stack, monkeypatch)
        await asyncio.sleep(0.5)
        await put(stack, "nixos_docs", "b.md")
        await until_indexed(stack)
        assert asked == ["Vectors.exists", "Vectors._upsert"]
        asked.clear()
        upsert = Vectors.upsert

        async def away(*_: object) -> None:
            monkeypatch.setattr(Vectors, "upsert", upsert)
            raise UnavailableError("away", retry_after_s=0)

        monkeypatch.setattr(Vectors, "upsert", away)
        await put(stack, "nixos_docs", "c.md")
        await until_indexed(stack)
        assert asked == ["Vectors.exists", "Vectors.names", "Vectors.exists", "Vectors._upsert"]
        asked.clear()
        monkeypatch.setattr(indexer, "_REPAIR_S", 0.0)
        async with asyncio.timeout(10):
            while asked.count("Vectors.names") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_lost_index_is_filled_whole_though_a_document_comes_before_it_is_missed(
    settings: Settings,
) -> None:
    async with open_stack(settings, index=True) as stack:
        await put(stack, "nixos_docs", "a.md")
        await until_indexed(stack)
        await Vectors(stack.qdrant).drop(await index_of(stack, "nixos_docs"))
        await put(stack, "nixos_docs", "b.md")
        await until_indexed(stack)
        assert await found(stack, "nixos_docs") == ["a.md", "b.md"]


async def test_a_rebuild_whose_index_is_lost_half_way_is_begun_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "_BATCH", 1)
    await put(stack, "nixos_docs", "a.md")
    await put(stack, "nixos_docs", "b.md")
    await stack.indexer.drain()
    built = await stack.generations.begin_rebuild("nixos_docs")
    upsert = Vectors.upsert

    async def lose(own: Vectors, index: str, points: Any) -> None:
        await upsert(own, index, points)
        await own.drop(index)
        monkeypatch.setattr(Vectors, "upsert", upsert)

    monkeypatch.setattr(Vectors, "upsert", lose)
    await stack.indexer.drain()
    (live,) = [g for g in await stack.generations.all() if g.collection == "nixos_docs"]
    assert (live.id, live.state) == (built, "live")
    assert await found(stack, "nixos_docs") == ["a.md", "b.md"]


async def test_a_new_collection_can_be_asked_at_once(settings: Settings) -> None:
    async with open_stack(settings, index=True) as stack:
        await until_indexed(stack)
        await stack.collections.create(LOCAL_OPERATOR, "new")
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(AistackError):
                    assert await found(stack, "new") == []
                    break
                await asyncio.sleep(0.05)


async def test_a_collection_that_ends_every_round_holds_up_no_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stack.indexer.drain()
    collections = ["nixos_docs", "solved_issues", "tool_schemas"]
    for collection in collections:
        await put(stack, collection, "a.md")
    bad = await index_of(stack, "solved_issues")
    exists = Vectors.exists

    async def refused(own: Vectors, index: str) -> bool:
        if index == bad:
            raise UnexpectedResponse(409, "Conflict", b"", httpx.Headers())
        return await exists(own, index)

    monkeypatch.setattr(Vectors, "exists", refused)
    for _ in range(2):
        with pytest.raises(UnexpectedResponse):
            await stack.indexer.drain()
    waiting = [(await stack.indexer.backlog(collection))[0] for collection in collections]
    assert waiting == [0, 1, 0]


async def test_who_is_at_work_is_found_without_reading_a_long_backlog(stack: Stack) -> None:
    async with stack.postgres.transaction(whole=True) as conn:
        await conn.execute(
            "insert into generations (collection, state, index_name, avgdl)"
            " select 'c' || n, 'live', 'c' || n, 1 from generate_series(1, %s) n",
            (OTHERS,),
        )
        await conn.execute(
            "insert into outbox (generation, document_id) select"
            " (select id from generations where collection = 'c1'), gen_random_uuid()"
            " from generate_series(1, %s)",
            (BACKLOG,),
        )
        await conn.execute("analyze outbox, generations")
        everyone = await (await conn.execute("select id from generations")).fetchall()
        values = {"made": [row["id"] for row in everyone], "after": 0}
        busy = await (await conn.execute(QUERIES["generations_at_work"], values)).fetchall()
        assert [row["collection"] for row in busy] == ["c1"]
        query = "explain (analyze, format json) " + QUERIES["generations_at_work"]
        (row,) = await (await conn.execute(query.encode(), values)).fetchall()
        assert rows_read(row["QUERY PLAN"][0]["Plan"]) <= 2 * len(everyone)


async def test_what_waits_for_another_try_is_not_read_to_find_what_is_due(stack: Stack) -> None:
    async with stack.postgres.transaction(whole=True) as conn:
        (own,) = await (
            await conn.execute(
                "insert into generations (collection, state, index_name, avgdl)"
                " values ('c', 'live', 'c', 1) returning id"
            )
        ).fetchall()
        values = {"generation": own["id"], "limit": 32, "made": [own["id"]], "after": 0}
        fill = (
            "insert into outbox (generation, document_id, attempts, not_before)"
            " select %s, gen_random_uuid(), 9, now() + %s * interval '1 hour'"
            " from generate_series(1, %s)"
        )
        await conn.execute(fill, (own["id"], 1, BACKLOG))

        async def read(name: str) -> float:
            query = "explain (analyze, format json) " + QUERIES[name]
            (row,) = await (await conn.execute(query.encode(), values)).fetchall()
            return rows_read(row["QUERY PLAN"][0]["Plan"])

        # A long backlog that waits, then one that is due, too.
        for due in (0, BACKLOG):
            await conn.execute(fill, (own["id"], -1, due))
            await conn.execute("analyze outbox, generations")
            assert await read("due") <= values["limit"]
            everyone = await (await conn.execute("select id from generations")).fetchall()
            assert await read("generations_at_work") <= 2 * len(everyone)


async def test_who_has_waited_longest_comes_first(stack: Stack) -> None:
    async with stack.postgres.transaction() as conn:
        (own,) = await (
            await conn.execute(
                "insert into generations (collection, state, index_name, avgdl)"
                " values ('c', 'live', 'c', 1) returning id"
            )
        ).fetchall()
        minutes = [3, 5, -1, 5, 4]
        await conn.execute(
            "insert into outbox (generation, document_id, not_before)"
            " select %s, gen_random_uuid(), now() - m * interval '1 minute'"
            " from unnest(%s::int[]) with ordinality t (m, n) order by n",
            (own["id"], minutes),
        )
        values = {"generation": own["id"], "limit": 32}
        rows = await (await conn.execute(QUERIES["due"], values)).fetchall()
        first = min(row["seq"] for row in rows)
        assert [row["seq"] - first for row in rows] == [1, 3, 4, 0]
