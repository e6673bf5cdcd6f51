"""Vectors of texts that are gone go too; those that a rebuild would need stay."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from msgspec import structs
from stock import lenient, plan, rows, run

from aistack.access.model import LOCAL_OPERATOR
from aistack.gc import embeddings, sweep
from aistack.gc.metrics import GcMetrics
from aistack.knowledge.embed import Embedder
from aistack.knowledge.model import NewDocument
from aistack.settings.schema import Embeddings, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

TEXT = "# Überschrift\n\nWords in a passage; a back\\slash, 100 %, 'quotes' and \U0001f40d.\n"


class Endpoint:
    """Stands for the embedding endpoint; knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def passages(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked += texts
        return [[1.0, float(len(text)), 0.0] for text in texts]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    one = Endpoint()
    monkeypatch.setattr(Embedder, "passages", lambda _, texts: one.passages(texts))
    return one


@asynccontextmanager
async def dense(settings: Settings, model: str = "toy") -> AsyncIterator[Stack]:
    known = Embeddings(endpoint="http://127.0.0.1:9/v1", model=model, dimension=3)
    async with open_stack(
        structs.replace(lenient(settings), embeddings=known), index=False
    ) as stack:
        yield stack


async def put(stack: Stack, path: str, text: str, collection: str = "nixos_docs") -> None:
    document = NewDocument(path=path, source=text.encode(), title=f"Title of {path}")
    await stack.documents.put(LOCAL_OPERATOR, collection, document)


async def kept(stack: Stack) -> int:
    return len(await rows(stack, "select from embeddings"))


async def days_go_by(stack: Stack, days: float) -> None:
    await rows(
        stack,
        "update embeddings set used_at = used_at - %(days)s * interval '1 day' returning 1",
        days=days,
    )


async def swept(stack: Stack) -> tuple[int, int]:
    """How many vectors a plan says will go, and how many a run takes."""
    made, _ = await plan(stack)
    report = await run(stack)
    (planned,) = [one for one in made.sweeps if one.kind == "embeddings"]
    (done,) = [one for one in report.sweeps if one.kind == "embeddings"]
    assert planned.older_than_days == done.older_than_days == 1
    return planned.rows, done.rows


async def test_a_deleted_text_leaves_no_vector_and_what_is_stored_is_not_paid_for_again(
    settings: Settings, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_PAGE", 2)
    monkeypatch.setattr(sweep, "_BATCH", 1)
    async with dense(settings) as stack:
        for number in range(5):
            await put(stack, f"stays-{number}.md", f"{TEXT} {number}")
            await put(stack, f"goes-{number}.md", f"{TEXT} gone {number}", "solved_issues")
        await stack.indexer.drain()
        assert await kept(stack) == len(endpoint.asked) == 10
        await stack.documents.delete_project(LOCAL_OPERATOR, "solved_issues", "default")
        await stack.indexer.drain()
        assert await swept(stack) == (0, 0), "it may be put back today"
        await days_go_by(stack, 1.1)
        assert await swept(stack) == (5, 5)
        assert await kept(stack) == 5
        text = (await GcMetrics(stack.postgres).render()).decode()
        assert 'hybrid_gc_swept_total{kind="embeddings"} 5.0' in text
        assert await swept(stack) == (0, 0)
        await stack.generations.begin_rebuild("nixos_docs")
        await stack.indexer.drain()
        assert len(endpoint.asked) == 10, "a rebuild found all that it needs"


async def test_the_vector_of_a_replaced_text_goes(settings: Settings, endpoint: Endpoint) -> None:
    async with dense(settings) as stack:
        for text in ("first", "second"):
            await put(stack, "a.md", text)
            await stack.indexer.drain()
        assert [asked.split("\n")[-1] for asked in endpoint.asked] == ["first", "second"]
        await days_go_by(stack, 1.1)
        assert await swept(stack) == (1, 1)
        await stack.generations.begin_rebuild("nixos_docs")
        await stack.indexer.drain()
        assert len(endpoint.asked) == 2


async def test_vectors_of_a_model_that_no_index_has_go_when_none_is_left_of_it(
    settings: Settings, endpoint: Endpoint
) -> None:
    async with dense(settings) as stack:
        await put(stack, "a.md", TEXT)
        await stack.indexer.drain()
        await days_go_by(stack, 1.1)
    async with dense(settings, "other") as stack:
        await stack.generations.begin_rebuild("nixos_docs")
        assert await swept(stack) == (0, 0), "the index of the older model still answers"
        await stack.indexer.drain()
        assert await kept(stack) == 2
        for name in await rows(stack, "select name from collections where name <> 'nixos_docs'"):
            await stack.generations.begin_rebuild(name["name"])
        await stack.indexer.drain()
        await stack.indexer.drain()
        assert await rows(stack, "select distinct model from generations") == [{"model": "other"}]
        assert await swept(stack) == (1, 1)
        assert await rows(stack, "select model from embeddings") == [{"model": "other"}]
    assert len(endpoint.asked) == 2


async def test_all_go_when_no_index_has_vectors_any_more(
    settings: Settings, endpoint: Endpoint
) -> None:
    async with dense(settings) as stack:
        await put(stack, "a.md", TEXT)
        await stack.indexer.drain()
        await days_go_by(stack, 1.1)
        await rows(stack, "update generations set model = null, dimension = null returning 1")
        assert await swept(stack) == (1, 1)
    assert len(endpoint.asked) == 1
