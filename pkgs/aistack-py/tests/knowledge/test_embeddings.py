"""Dense and hybrid search against an OpenAI-compatible endpoint on a real socket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import uvicorn
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import AistackError, ConflictError
from aistack.knowledge.model import NewDocument, Query
from aistack.settings.schema import Embeddings, Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio

DIMENSION = 8
# Words of one meaning share a direction: what a model would know.
MEANINGS = {"restrict": 0, "limit": 0, "bound": 0, "cook": 1, "pasta": 1}


class Endpoint:
    """Counts what it is asked; ``answer`` may be replaced to misbehave."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.zero = False

    def vector(self, text: str) -> list[float]:
        out = [0.01] * DIMENSION
        for word in text.lower().split():
            place = MEANINGS.get(
                word.strip(".,"), 2 + hashlib.sha256(word.encode()).digest()[0] % 6
            )
            out[place] += 10 if word.strip(".,") in MEANINGS else 0.1
        return [0.0] * DIMENSION if self.zero else out

    async def __call__(self, request: Request) -> JSONResponse:
        body: dict[str, Any] = msgspec.json.decode(await request.body())
        self.asked += body["input"]
        data = [{"index": i, "embedding": self.vector(t)} for i, t in enumerate(body["input"])]
        return JSONResponse({"data": data})


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[Endpoint, str]]:
    one = Endpoint()
    app = Starlette(routes=[Route("/v1/embeddings", one.__call__, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield one, f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    await task


def with_embeddings(settings: Settings, url: str, model: str = "toy") -> Settings:
    embeddings = Embeddings(endpoint=url, model=model, dimension=DIMENSION)
    return structs.replace(settings, embeddings=embeddings)


async def test_meaning_finds_what_words_do_not_and_vectors_are_cached(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        for path, text in (("a.md", "how to bound requests"), ("b.md", "cook pasta well")):
            document = NewDocument(path=path, source=text.encode())
            await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
        await stack.indexer.drain()
        query = Query(query="restrict clients", collection="nixos_docs")
        page = await stack.search.search(LOCAL_OPERATOR, query)
        assert page.mode == "hybrid"
        assert page.hits[0].path == "a.md"
        assert page.hits[0].signals.bm25 is None
        assert (page.hits[0].signals.cosine or 0) > 0.9
        cut = structs.replace(query, min_score=0.9)
        assert [h.path for h in (await stack.search.search(LOCAL_OPERATOR, cut)).hits] == ["a.md"]
        asked = len(one.asked)
        await stack.generations.begin_rebuild("nixos_docs")
        await stack.indexer.drain()
        await stack.search.search(LOCAL_OPERATOR, query)
        assert len(one.asked) == asked, "a rebuild or a repeated question asked for vectors again"


async def test_another_model_is_an_error_that_names_the_fix(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    _, url = endpoint
    query = Query(query="restrict", collection="nixos_docs")
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        await stack.indexer.drain()
    async with open_stack(with_embeddings(settings, url, "other"), index=False) as stack:
        with pytest.raises(ConflictError, match="aistack reindex nixos_docs"):
            await stack.search.search(LOCAL_OPERATOR, query)
        await stack.generations.begin_rebuild("nixos_docs")
        await stack.indexer.drain()
        assert (await stack.search.search(LOCAL_OPERATOR, query)).mode == "hybrid"


async def test_a_zero_vector_is_never_stored(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    one.zero = True
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        document = NewDocument(path="a.md", source=b"text")
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)
        with pytest.raises(AistackError, match="without direction"):
            await stack.indexer.drain()
        one.zero = False
        await stack.indexer.drain()
        page = await stack.search.search(
            LOCAL_OPERATOR, Query(query="text", collection="nixos_docs", mode="dense")
        )
        assert len(page.hits) == 1
