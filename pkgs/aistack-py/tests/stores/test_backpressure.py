"""More is asked of the database than it can do: everyone gets an answer, and soon."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from aistack.embedded.postgres import EmbeddedPostgres
from aistack.errors import ConfigError, UnavailableError
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio


async def opened(settings: Settings, **changes: object) -> Postgres:
    postgres = Postgres(structs.replace(settings.postgres, **changes))
    await postgres.open()
    return postgres


@asynccontextmanager
async def held(postgres: Postgres) -> AsyncIterator[str]:
    """A statement that does not end before the context does."""
    async with await psycopg.AsyncConnection.connect(postgres.dsn, autocommit=True) as other:
        await other.execute("select pg_advisory_lock(7)")
        yield "select pg_advisory_lock_shared(7)::text, pg_advisory_unlock_shared(7)::text"


async def test_a_full_pool_refuses_at_once_and_recovers(settings: Settings) -> None:
    postgres = await opened(settings, pool_min=2, pool_max=2, waiting_max=3, timeout_s=60.0)
    try:
        await postgres._pool.wait()
        async with held(postgres) as wait:
            running = [asyncio.create_task(postgres.fetch(wait, {})) for _ in range(5)]
            async with asyncio.timeout(20):
                while postgres._waiting < 3:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            start = time.monotonic()
            with pytest.raises(UnavailableError, match="too much"):
                await postgres.fetch("select 1", {})
            assert time.monotonic() - start < 30, "it waited its turn"
        assert len(await asyncio.gather(*running)) == 5
        await postgres.ping()
    finally:
        await postgres.close()


async def test_after_an_outage_with_many_who_asked_everybody_is_answered(
    settings: Settings,
) -> None:
    # Not pytest's folder: with a long name the socket lies elsewhere, at each start anew.
    folder = Path(tempfile.mkdtemp(prefix="aistack-pg-"))
    server = EmbeddedPostgres(folder / "pg", durable=False)
    dsn = server.start()
    server.stop()
    postgres = await opened(
        settings, dsn=dsn, password_file=None, pool_min=1, pool_max=2, waiting_max=3, timeout_s=0.5
    )
    try:
        # Longer than the pool tries by itself, and more than may wait at a time.
        for _ in range(4):
            asked = [postgres.ping() for _ in range(4)]
            said = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(one) for one in said] == [UnavailableError] * 4
        server.start()
        for _ in range(20):
            with contextlib.suppress(UnavailableError):
                await postgres.ping()
                break
        await asyncio.gather(*(postgres.ping() for _ in range(4)))
    finally:
        await postgres.close()
        server.stop()
        shutil.rmtree(folder)


async def test_who_waits_too_long_is_told_so(settings: Settings) -> None:
    postgres = await opened(settings, pool_min=1, pool_max=1, timeout_s=1)
    try:
        async with held(postgres) as wait:
            running = asyncio.create_task(postgres.fetch(wait, {}))
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError):
                await postgres.ping()
        await running
    finally:
        await postgres.close()


async def test_a_statement_that_runs_away_ends(settings: Settings) -> None:
    postgres = await opened(settings, statement_timeout_s=0.2)
    try:
        with pytest.raises(UnavailableError, match="took too long"):
            await postgres.fetch("select pg_sleep(5)::text", {})
        await postgres.ping()
    finally:
        await postgres.close()


async def test_cancelled_requests_give_their_connections_back(settings: Settings) -> None:
    postgres = await opened(settings, pool_min=1, pool_max=2)
    try:
        nap = "select pg_sleep(20)::text"
        for _ in range(5):
            running = [asyncio.create_task(postgres.fetch(nap, {})) for _ in range(4)]
            await asyncio.sleep(0.1)
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        start = time.monotonic()
        await asyncio.gather(postgres.ping(), postgres.ping())
        assert time.monotonic() - start < 5
    finally:
        await postgres.close()


async def test_a_pool_that_the_server_can_never_fill_is_refused(settings: Settings) -> None:
    postgres = await opened(settings, pool_min=1, pool_max=40)
    try:
        await postgres.check_capacity(1)
        with pytest.raises(ConfigError, match=r"postgres\.pool_max of 40 for 4 processes"):
            await postgres.check_capacity(4)
    finally:
        await postgres.close()


async def test_the_pool_tells_how_full_it_is(settings: Settings) -> None:
    metrics = Metrics(CollectorRegistry())
    postgres = Postgres(settings.postgres, metrics.pool)
    await postgres.open()
    try:
        await postgres.ping()
    finally:
        await postgres.close()
    text = metrics.render()[0].decode()
    assert 'aidb_postgres_pool_connections{state="in_use"} 1.0' in text
    assert "aidb_postgres_pool_waiting 0.0" in text
    assert "aidb_postgres_pool_wait_seconds_count 1.0" in text


@pytest.mark.parametrize(
    ("state", "kind"),
    [("53100", UnavailableError), ("57P01", UnavailableError), ("54000", psycopg.OperationalError)],
)
async def test_what_is_no_fault_of_the_connection_is_told_apart(
    settings: Settings, state: str, kind: type[Exception]
) -> None:
    """A full disk is logged by its code; a row that can never be stored stays a bug."""
    postgres = await opened(settings)
    try:
        with pytest.raises(kind):
            async with postgres.read() as conn:
                await conn.execute(f"do $$ begin raise sqlstate '{state}'; end $$")
        await postgres.ping()
    finally:
        await postgres.close()
