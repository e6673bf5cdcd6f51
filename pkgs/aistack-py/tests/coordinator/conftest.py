"""An open stack on this test's own database and index; an embedding endpoint on a real socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from msgspec import structs
from starlette.applications import Starlette
from starlette.routing import Route
from toy import DIMENSION, ToyEndpoint

from aistack.settings.schema import Embeddings, Redis, Settings
from aistack.wiring import Stack, open_stack


@pytest.fixture
async def stack(settings: Settings) -> AsyncIterator[Stack]:
    async with open_stack(settings, index=False) as opened:
        yield opened


@pytest.fixture
async def endpoint() -> AsyncIterator[ToyEndpoint]:
    one = ToyEndpoint()
    app = Starlette(routes=[Route("/v1/embeddings", one.__call__, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    one.url = f"http://127.0.0.1:{port}/v1"
    yield one
    server.should_exit = True
    await task


@pytest.fixture
async def meaning(settings: Settings, endpoint: ToyEndpoint) -> AsyncIterator[Stack]:
    """A stack with embeddings."""
    embeddings = Embeddings(endpoint=endpoint.url, model="toy", dimension=DIMENSION)
    async with open_stack(structs.replace(settings, embeddings=embeddings), index=False) as opened:
        yield opened


@pytest.fixture
async def with_redis(settings: Settings, redis_server: str) -> AsyncIterator[Stack]:
    own = structs.replace(settings, redis=Redis(url=redis_server))
    async with open_stack(own, index=False) as opened:
        yield opened
