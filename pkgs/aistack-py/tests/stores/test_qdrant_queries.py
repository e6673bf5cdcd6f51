"""Searches on a server: what is sent, which connections are kept, and what becomes of faults."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from aistack.errors import UnavailableError
from aistack.settings import schema
from aistack.stores import qdrant_queries
from aistack.stores.qdrant import Qdrant

pytestmark = pytest.mark.anyio

SEARCH = models.QueryRequest(query=[0.5, 0.25], using="dense", limit=3)


class Server:
    """Answers each search with its own index' name as the id, and remembers what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.connections = 0
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.open: list[asyncio.StreamWriter] = []
        self.before: Callable[[], Awaitable[object]] | None = None
        self.answer: Callable[[str], tuple[int, bytes]] = _found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                path = head.split()[1]
                lines = (line.partition(": ") for line in head.split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, _, value in lines}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.asked.append((path, headers, body))
                if self.before is not None:
                    await self.before()
                status, content = self.answer(path)
                told = f"HTTP/1.1 {status} -\r\nContent-Length: {len(content)}\r\n\r\n"
                writer.write(told.encode() + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _found(path: str) -> tuple[int, bytes]:
    point = {"id": path.split("/")[-4], "version": 1, "score": 0.5, "payload": None}
    return 200, json.dumps({"result": [{"points": [point]}], "status": "ok"}).encode()


@asynccontextmanager
async def qdrant(path: str = "", **settings: Any) -> AsyncIterator[tuple[Server, Qdrant]]:
    server = Server()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}{path}"
        client = Qdrant(schema.Qdrant(url=server.url, **settings))
        try:
            yield server, client
        finally:
            await client.close()
            for writer in server.open:
                writer.close()


async def test_a_search_is_sent_as_qdrants_api_wants_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("secret\n")
    async with qdrant(path="/below/", api_key_file=str(key)) as (server, client):
        (found,) = await client.query("a/b", [SEARCH])
        assert [(point.id, point.score) for point in found] == [("a%2Fb", 0.5)]
        ((path, headers, body),) = server.asked
        assert path == "/below/collections/a%2Fb/points/query/batch"
        assert headers["api-key"] == "secret"
        assert headers["host"] == server.url.split("/")[2]
        assert body == {"searches": [{"query": [0.5, 0.25], "using": "dense", "limit": 3}]}


async def test_connections_are_kept_and_replaced_where_the_server_ends_them() -> None:
    async with qdrant() as (server, client):
        for _ in range(3):
            await client.query("one", [SEARCH])
        assert server.connections == 1
        server.open[0].close()
        await server.open[0].wait_closed()
        await asyncio.sleep(0.05)
        await client.query("one", [SEARCH])
        assert server.connections == 2


async def test_many_at_once_get_their_own_answers() -> None:
    async with qdrant() as (server, client):
        server.before = lambda: asyncio.sleep(0.01)
        names = [f"index-{number}" for number in range(250)]
        found = await asyncio.gather(*(client.query(name, [SEARCH]) for name in names))
        assert [points[0].id for (points,) in found] == names
        assert server.connections <= 100


async def test_nobody_waits_for_those_before_longer_than_for_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(qdrant_queries, "_AT_ONCE", 1)
    async with qdrant(timeout_s=0.3) as (server, client):
        server.before = lambda: asyncio.sleep(60)
        begun = time.monotonic()
        found = await asyncio.gather(
            *(client.query("one", [SEARCH]) for _ in range(100)), return_exceptions=True
        )
        assert {type(one) for one in found} == {UnavailableError}
        assert time.monotonic() - begun < 15, "one after the other it is 30 s"


async def test_a_cancelled_search_leaves_its_answer_to_nobody() -> None:
    async with qdrant() as (server, client):
        await client.query("first", [SEARCH])
        answering = asyncio.Event()
        server.before = answering.wait
        task = asyncio.create_task(client.query("cancelled", [SEARCH]))
        async with asyncio.timeout(20):
            while len(server.asked) < 2:  # noqa: ASYNC110 - of what stands in for a server
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.before = None
        answering.set()
        ((point,),) = await client.query("next", [SEARCH])
        assert point.id == "next"


async def test_faults_are_told_apart() -> None:
    async with qdrant(timeout_s=1) as (server, client):
        server.answer = lambda _: (404, b"{}")
        with pytest.raises(UnexpectedResponse):
            await client.query("gone", [SEARCH])
        for status in (401, 503):
            server.answer = lambda _, status=status: (status, b"{}")
            with pytest.raises(UnavailableError, match="refuses"):
                await client.query("one", [SEARCH])
        server.answer = lambda _: (200, b"<html>")
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.query("one", [SEARCH])
        server.before = lambda: asyncio.sleep(60)
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.query("one", [SEARCH])
        client.broken = True
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.query("one", [SEARCH])


async def test_a_server_that_is_away_is_unavailable() -> None:
    async with qdrant() as (server, client):
        pass
    client = Qdrant(schema.Qdrant(url=server.url))
    with pytest.raises(UnavailableError):
        await client.query("one", [SEARCH])
    await client.close()
