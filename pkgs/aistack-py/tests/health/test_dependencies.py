"""Dependencies that stop, pause, vanish or answer nonsense, under a service that goes on."""

import asyncio
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from aistack.access.model import LOCAL_OPERATOR
from aistack.api.app import create_app
from aistack.embedded.postgres import EmbeddedPostgres
from aistack.knowledge.model import NewDocument
from aistack.migrations.runner import migrate
from aistack.settings.schema import (
    DEPENDENCIES,
    Backup,
    Embeddings,
    Health,
    Postgres,
    Qdrant,
    Redis,
    Repository,
    Settings,
)
from aistack.wiring import Stack, open_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(240)]

PERIOD = 1.0
HEALTH = Health(interval_s=PERIOD, timeout_s=0.5, disk_paths=())
SLACK = 2.0
"""Of the machine: it may do other things for a while."""


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[Stack, httpx.AsyncClient]]:
    async with open_stack(structs.replace(settings, health=HEALTH)) as stack:
        app = create_app(stack)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost"
        ) as client:
            yield stack, client


async def becomes(client: httpx.AsyncClient, status: int, word: str, within: float) -> None:
    """Readiness flips in time; until then and after, it and liveness answer at once.

    Once, and again, the machine may be busy elsewhere; whoever waits for a dependency always does.
    """
    start = time.perf_counter()
    took: list[float] = []
    flipped = False
    while not flipped or len(took) < 5:
        asked = time.perf_counter()
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
        took.append(time.perf_counter() - asked)
        flipped = (answer.status_code, answer.json()["status"]) == (status, word)
        assert flipped or time.perf_counter() - start < within + SLACK, answer.text
        await asyncio.sleep(0.01)
    assert statistics.median(took) < HEALTH.timeout_s / 2, "they wait for something"


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port that takes connections and never says a word."""
    held: list[asyncio.StreamWriter] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        while await reader.read(65536):
            pass

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in held:
            writer.close()


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    # Not pytest's folder: with a long name the socket lies elsewhere, at each start anew.
    folder = Path(tempfile.mkdtemp(prefix="aistack-pg-"))
    server = EmbeddedPostgres(folder / "pg", durable=False)
    yield server
    server.stop()
    shutil.rmtree(folder)


@contextmanager
def paused(server: EmbeddedPostgres) -> Iterator[None]:
    main = server._postmaster()
    assert main is not None
    pids = [main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_postgres_paused_and_stopped(
    settings: Settings, own_postgres: EmbeddedPostgres
) -> None:
    dsn = own_postgres.start()
    await migrate(dsn)
    postgres = Postgres(dsn=dsn, pool_min=0, pool_max=4, timeout_s=1, statement_timeout_s=5)
    async with serving(structs.replace(settings, postgres=postgres)) as (stack, client):
        await becomes(client, 200, "ok", within=1)
        assert set(stack.health.checks()) <= set(DEPENDENCIES), "health.critical can name all"
        with paused(own_postgres):
            await becomes(client, 503, "unavailable", within=2 * PERIOD)
            assert stack.health.checks()["postgres"].output == "no answer within 0.5 s"
            assert (await client.get("/health/startup")).status_code == 200
        await becomes(client, 200, "ok", within=2 * PERIOD + 5)  # the hung look ends first
        own_postgres.stop()
        await becomes(client, 503, "unavailable", within=2 * PERIOD)
        assert own_postgres.start() == dsn
        await becomes(client, 200, "ok", within=2 * PERIOD)


async def test_qdrant_black_holed(settings: Settings) -> None:
    """Documents are served; search is refused at once, not after the time-out of 20 s."""
    async with black_hole() as port:
        qdrant = Qdrant(url=f"http://127.0.0.1:{port}", timeout_s=20)
        async with serving(structs.replace(settings, qdrant=qdrant)) as (stack, client):
            await becomes(client, 200, "degraded", within=1)
            assert not stack.health.checks()["qdrant"].critical
            made = await stack.keys.create(name="k", scopes=["admin"])
            client.headers["X-API-Key"] = made.key
            new = NewDocument(path="a.md", source=b"hello")
            info = (await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)).document
            assert (await client.get(f"/v1/documents/{info.id}")).status_code == 200
            start = time.perf_counter()
            body = {"query": "hello", "collection": "nixos_docs"}
            answer = await client.post("/v1/query", json=body)
            assert time.perf_counter() - start < 10
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            told = (await client.get("/health/detailed")).json()
            assert told["status"] == "warn"
            assert told["checks"]["qdrant"]["status"] == "fail"
            assert told["checks"]["postgres"]["status"] == "pass"


async def test_redis_and_the_endpoint_only_degrade(settings: Settings) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    endpoint = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = endpoint.sockets[0].getsockname()[1]
    async with black_hole() as hole, endpoint:
        more: dict[str, Any] = {
            "redis": Redis(url=f"redis://127.0.0.1:{hole}", timeout_s=0.05),
            "embeddings": Embeddings(
                endpoint=f"http://127.0.0.1:{port}/v1", model="m", dimension=3
            ),
        }
        async with serving(structs.replace(settings, **more)) as (stack, client):
            await becomes(client, 200, "degraded", within=1)
            checks = stack.health.checks()
            assert checks["redis"].output == "no answer"
            assert checks["embeddings"].output == "the embedding endpoint answers 500"


async def test_what_is_critical_is_a_setting(settings: Settings) -> None:
    rules = structs.replace(HEALTH, critical=("postgres", "qdrant"))
    away = structs.replace(settings, qdrant=Qdrant(url="http://127.0.0.1:1"), health=rules)
    async with open_stack(away) as stack:
        assert stack.health.ready() == "unavailable"
        assert not stack.health.started()


async def test_an_outbox_that_stands_still_is_a_warning(settings: Settings) -> None:
    rules = structs.replace(HEALTH, outbox_s=1)
    away = structs.replace(settings, qdrant=Qdrant(url="http://127.0.0.1:1"), health=rules)
    async with open_stack(away) as stack:
        new = NewDocument(path="a.md", source=b"hello")
        await stack.documents.put(LOCAL_OPERATOR, "nixos_docs", new)
        async with asyncio.timeout(20):
            while stack.health.checks()["outbox"].status != "warn":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        check = stack.health.checks()["outbox"]
        assert (check.observed, check.unit) == (1, "documents")
        assert "health.outbox_s" in (check.output or "")


async def test_a_backup_that_is_missing_or_old_is_told(settings: Settings) -> None:
    own = Backup(repositories={"local": Repository(path="/nowhere")})
    async with open_stack(structs.replace(settings, health=HEALTH, backup=own)) as stack:
        check = stack.health.checks()["backup"]
        assert (check.status, check.observed) == ("warn", None)
        assert "no backup yet" in (check.output or "")
        for hours, status in ((1, "pass"), (30, "warn"), (60, "fail")):
            async with stack.postgres.transaction() as connection:
                await connection.execute("delete from backup_parts")
                await connection.execute(
                    "insert into backup_parts values ('local', 'postgresql', now(), 'ok', 0, 0,"
                    " now() - make_interval(hours => %(hours)s))",
                    {"hours": hours},
                )
            async with asyncio.timeout(20):
                while stack.health.checks()["backup"].status != status:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert "backup.max_age_hours" in (stack.health.checks()["backup"].output or "")


async def test_a_full_disk_is_told(settings: Settings, tmp_path: Path) -> None:
    rules = structs.replace(HEALTH, disk_paths=(str(tmp_path),), disk_free=1.0)
    async with open_stack(structs.replace(settings, health=rules)) as stack:
        check = stack.health.checks()["disk"]
        assert check.status in {"warn", "fail"}
        assert check.unit == "%"
        assert str(tmp_path) in (check.output or "")
