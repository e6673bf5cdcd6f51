"""What goes wrong beside or below the index, and must not stay wrong."""

import asyncio

import httpx
import msgspec
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import UnavailableError
from aistack.knowledge.model import NewDocument
from aistack.knowledge.vectors import Vectors
from aistack.settings.schema import Qdrant as QdrantOptions, Settings
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio


class FlakyServer:
    """A Qdrant server whose first payload index times out, behind our client's face."""

    is_local = False

    def __init__(self) -> None:
        self.collections: dict[str, list[str]] = {}
        self.away = True

    async def collection_exists(self, index: str) -> bool:
        return index in self.collections

    async def create_collection(self, index: str, **_: object) -> None:
        self.collections[index] = []

    async def create_payload_index(self, index: str, field_name: str, **_: object) -> None:
        if self.away:
            raise ResponseHandlingException(TimeoutError())
        self.collections[index].append(field_name)

    async def run(self, call):
        try:
            return await call(self)
        except ResponseHandlingException as exc:
            raise UnavailableError("away") from exc


async def test_an_index_that_was_half_made_is_completed() -> None:
    server = FlakyServer()
    with pytest.raises(UnavailableError):
        await Vectors(server).create("one", None)
    assert server.collections == {"one": []}
    server.away = False
    await Vectors(server).create("one", None)
    assert {"document", "revision", "project"} <= set(server.collections["one"])


async def test_the_indexer_outlives_what_nobody_expected(settings: Settings) -> None:
    async with open_stack(settings, index=True) as stack:
        await stack.indexer.drain()

        async def refused(*_: object) -> None:
            raise UnexpectedResponse(409, "Conflict", b"exists", httpx.Headers())

        stack.indexer._vectors.exists = refused  # type: ignore[method-assign]
        new = NewDocument(path="a.md", source=b"hello")
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)
        await asyncio.sleep(1)
        del stack.indexer._vectors.exists
        async with asyncio.timeout(30):
            while await stack.indexer.backlog() != (0, 0):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_processes_that_start_at_once_make_one_generation_each(settings: Settings) -> None:
    away = msgspec.structs.replace(settings, qdrant=QdrantOptions(url="http://127.0.0.1:1"))

    async def start() -> None:
        async with open_stack(away, index=False):
            pass

    await asyncio.gather(*(start() for _ in range(4)))
    async with open_stack(away, index=False) as stack:
        found = [g.collection for g in await stack.generations.all()]
    assert len(found) == len(set(found)) >= 6
