"""Dense and hybrid search against an OpenAI-compatible endpoint on a real socket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from index_lock import lose_lock
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aistack.access.model import LOCAL_OPERATOR
from aistack.api.app import create_app
from aistack.errors import ConflictError, UnavailableError
from aistack.knowledge.model import NewDocument, Query
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Embeddings, Settings
from aistack.wiring import Stack, open_stack

pytestmark = pytest.mark.anyio

DIMENSION = 8
# Words of one meaning share a direction: what a model would know.
MEANINGS = {"restrict": 0, "limit": 0, "bound": 0, "cook": 1, "pasta": 1}


SECRET = "sk-very-secret"


class Endpoint:
    """Counts what it is asked; ``behave`` may be replaced to misbehave."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.zero = False
        self.behave: Callable[[list[str]], Awaitable[Response | None]] | None = None

    def vector(self, text: str) -> list[float]:
        out = [0.01] * DIMENSION
        for word in text.lower().split():
            place = MEANINGS.get(
                word.strip(".,"), 2 + hashlib.sha256(word.encode()).digest()[0] % 6
            )
            out[place] += 10 if word.strip(".,") in MEANINGS else 0.1
        return [0.0] * DIMENSION if self.zero else out

    async def __call__(self, request: Request) -> Response:
        body: dict[str, Any] = msgspec.json.decode(await request.body())
        self.asked += body["input"]
        if self.behave and (answer := await self.behave(body["input"])):
            return answer
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


async def test_a_question_has_the_same_vector_each_time(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    """Else the second page is of another order than the first."""
    _, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        ask = stack.search._embedder.question
        assert await ask("restrict clients") == await ask("restrict clients")


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


async def put(stack: Stack, path: str, text: str) -> None:
    document = NewDocument(path=path, source=text.encode())
    await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", document)


async def test_a_text_without_direction_is_refused_and_holds_up_no_other(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        await stack.indexer.drain()
        one.zero = True
        await put(stack, "a.md", "text")
        await stack.indexer.drain()
        assert await stack.indexer.backlog() == (1, 1)
        one.zero = False
        await put(stack, "b.md", "other text")
        await stack.indexer.drain()
        page = await stack.search.search(
            LOCAL_OPERATOR, Query(query="text", collection="nixos_docs", mode="dense")
        )
        assert [h.path for h in page.hits] == ["b.md"]


def answers(status: int, headers: dict[str, str] | None = None) -> Callable[..., Any]:
    async def behave(_texts: list[str]) -> Response:
        # What real endpoints do: they repeat (parts of) the key.
        return JSONResponse({"error": {"message": f"bad key {SECRET}"}}, status, headers)

    return behave


async def hang(_texts: list[str]) -> None:
    await asyncio.sleep(3)


async def another_dimension(_texts: list[str]) -> Response:
    return JSONResponse({"data": [{"index": 0, "embedding": [1.0, 2.0]}]})


async def a_page(_texts: list[str]) -> Response:
    return Response("<h1>Log in</h1>", media_type="text/html")


async def broken_coding(_texts: list[str]) -> Response:
    return Response(b"not gzip", headers={"content-encoding": "gzip"})


# Misbehaviour, what the log says of it, seconds of Retry-After.
MISBEHAVIOUR: list[Any] = [
    pytest.param(answers(401), "answers 401; check embeddings.endpoint", "60", id="401"),
    pytest.param(answers(402), "answers 402; check embeddings.endpoint", "60", id="402"),
    pytest.param(answers(403), "answers 403; check embeddings.endpoint", "60", id="403"),
    pytest.param(answers(404), "answers 404; check embeddings.endpoint", "60", id="404"),
    pytest.param(answers(301), "answers 301; check embeddings.endpoint", "60", id="301"),
    pytest.param(answers(500), "answers 500", "2", id="500"),
    pytest.param(answers(429, {"Retry-After": "17"}), "answers 429", "17", id="429"),
    pytest.param(hang, "does not answer within 1 s", "2", id="hang"),
    pytest.param(another_dimension, "gives vectors of 2 numbers; embeddings.dimension says 8",
                 "60", id="dimension"),
    pytest.param(a_page, "has no vectors", "60", id="html"),
    pytest.param(broken_coding, "does not answer (DecodingError)", "2", id="coding"),
]  # fmt: skip


@pytest.mark.parametrize(("behave", "reason", "retry_after"), MISBEHAVIOUR)
async def test_a_question_gets_503_and_the_log_the_reason(
    settings: Settings,
    endpoint: tuple[Endpoint, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    behave: Any,
    reason: str,
    retry_after: str,
) -> None:
    one, url = endpoint
    (tmp_path / "key").write_text(SECRET)
    embeddings = structs.replace(
        with_embeddings(settings, url).embeddings,
        api_key_file=str(tmp_path / "key"),
        query_timeout_s=1.0,
        timeout_s=1.0,
    )
    async with open_stack(structs.replace(settings, embeddings=embeddings), index=False) as stack:
        await put(stack, "a.md", "how to bound requests")
        await stack.indexer.drain()
        one.behave = behave
        async with of_http(stack) as http:
            for mode in ("auto", "hybrid", "dense"):
                caplog.clear()
                answer = await ask(http, "restrict", mode)
                problem = answer.json()
                assert (answer.status_code, problem["type"]) == (
                    503,
                    "urn:aistack:problem:unavailable",
                )
                assert answer.headers["retry-after"] == retry_after
                assert problem["detail"] == (
                    "the embedding endpoint gives no vector now; mode lexical works without it"
                )
                assert reason in caplog.text
                assert SECRET not in caplog.text + answer.text
            lexical = await ask(http, "bound", "lexical")
            assert lexical.json()["hits"][0]["path"] == "a.md"
        # Indexing blames no document: it waits, and goes on as soon as the endpoint is well.
        await put(stack, "b.md", "cook pasta well")
        with pytest.raises(UnavailableError) as caught:
            await stack.indexer.drain()
        assert reason in caught.value.detail
        assert await stack.indexer.backlog() == (1, 0)
        one.behave = None
        await stack.indexer.drain()
        assert await stack.indexer.backlog() == (0, 0)


async def test_an_endpoint_that_is_away_holds_up_no_lexical_collection(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        await stack.indexer.drain()  # these come first, and have vectors
    async with open_stack(settings, index=False) as stack:
        await stack.collections.create(LOCAL_OPERATOR, "plain")
        await stack.indexer.drain()
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        one.behave = answers(401)
        for collection in ("nixos_docs", "plain"):
            new = NewDocument(path="a.md", source=b"some text")
            await stack.documents.put(LOCAL_OPERATOR, collection, new)
        with pytest.raises(UnavailableError, match="answers 401"):
            await stack.indexer.drain()
        assert await stack.indexer.backlog("plain") == (0, 0)
        assert await stack.indexer.backlog("nixos_docs") == (1, 0)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_refused_text_is_told_and_only_its_document_waits(
    settings: Settings,
    endpoint: tuple[Endpoint, str],
    caplog: pytest.LogCaptureFixture,
    status: int,
) -> None:
    one, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        await stack.indexer.drain()

        async def refuse(texts: list[str]) -> Response | None:
            refused = any("poison" in text for text in texts)
            return JSONResponse({"error": SECRET}, status) if refused else None

        one.behave = refuse
        async with of_http(stack) as http:
            answer = await ask(http, "poison", "auto")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/query"
        assert "mode lexical" in answer.json()["detail"]
        assert f"refuses the text ({status})" in caplog.text
        assert SECRET not in caplog.text + answer.text
        await put(stack, "a.md", "poison")
        await put(stack, "b.md", "pasta")
        await stack.indexer.drain()
        assert await stack.indexer.backlog() == (1, 1)
        found = await stack.search.search(
            LOCAL_OPERATOR, Query(query="pasta", collection="nixos_docs")
        )
        assert [h.path for h in found.hits] == ["b.md"]


async def test_a_lock_that_is_lost_while_the_endpoint_works_ends_the_round_with_nothing_written(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    async with open_stack(with_embeddings(settings, url), index=False) as stack:
        await stack.indexer.drain()
        await put(stack, "a.md", "cook pasta")
        live = next(g for g in await stack.generations.all() if g.collection == "nixos_docs")

        async def lose(_texts: list[str]) -> None:
            await lose_lock(stack.postgres)

        one.behave = lose
        with pytest.raises(UnavailableError, match="lock is gone"):
            await stack.indexer.drain()
        assert await Vectors(stack.qdrant).count(live.index_name) == 0
        assert await stack.indexer.backlog() == (1, 0)
        one.behave = None
        await stack.indexer.drain()
        assert await Vectors(stack.qdrant).count(live.index_name) == 1
        assert await stack.indexer.backlog() == (0, 0)


def long_text(passages: int, poison: int | None = None) -> str:
    """A document of so many passages, one of which a test may let the endpoint refuse."""
    word = {number: "poison" if number == poison else "pasta" for number in range(passages)}
    return "\n".join(f"# Part {n}\n\n" + f"{word[n]} {n} " * 120 + "\n" for n in range(passages))


async def test_vectors_that_were_made_before_a_fault_are_not_asked_for_again(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    embeddings = structs.replace(with_embeddings(settings, url).embeddings, batch_size=2)
    async with open_stack(structs.replace(settings, embeddings=embeddings), index=False) as stack:
        await stack.indexer.drain()
        await put(stack, "a.md", long_text(7))

        async def fail_at_last(_texts: list[str]) -> Response | None:
            return JSONResponse({}, 401) if len(one.asked) > 4 else None

        one.behave = fail_at_last
        with pytest.raises(UnavailableError, match="answers 401"):
            await stack.indexer.drain()
        assert len(one.asked) == 6
        one.behave, before = None, set(one.asked[:4])
        one.asked.clear()
        await stack.indexer.drain()
        assert len(one.asked) == 3
        assert not before & set(one.asked)
        assert await stack.indexer.backlog() == (0, 0)


async def test_a_refused_text_lets_the_rest_of_its_document_be_paid_for_once(
    settings: Settings, endpoint: tuple[Endpoint, str]
) -> None:
    one, url = endpoint
    embeddings = structs.replace(with_embeddings(settings, url).embeddings, batch_size=1)

    async def refuse(texts: list[str]) -> Response | None:
        return JSONResponse({}, 400) if any("poison" in text for text in texts) else None

    async with open_stack(structs.replace(settings, embeddings=embeddings), index=False) as stack:
        one.behave = refuse
        await put(stack, "a.md", long_text(5, poison=4))
        await stack.indexer.drain()
        assert await stack.indexer.backlog() == (1, 1)
        one.asked.clear()
        async with stack.postgres.read() as conn:
            await conn.execute("update outbox set not_before = now()")
        await stack.indexer.drain()
        assert [text.count("poison") > 0 for text in one.asked] == [True]


@asynccontextmanager
async def of_http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """The app as a client with a key sees it."""
    key = (await stack.keys.create(name="test", scopes=["read"])).key
    transport = httpx.ASGITransport(create_app(stack), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=headers
    ) as http:
        yield http


async def ask(http: httpx.AsyncClient, text: str, mode: str) -> httpx.Response:
    body = {"query": text, "collection": "nixos_docs", "mode": mode}
    return await http.post("/v1/query", json=body)
