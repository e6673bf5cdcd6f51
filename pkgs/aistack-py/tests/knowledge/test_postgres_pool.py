"""The pool while connections break under it."""

from contextlib import suppress
from pathlib import Path

import anyio
import psycopg
import pytest
from psycopg import conninfo

from aistack.access.model import LOCAL_OPERATOR
from aistack.errors import NotFoundError, UnavailableError
from aistack.knowledge.model import NewDocument, Query
from aistack.settings.schema import Postgres as Options, Settings
from aistack.stores.postgres import Postgres
from aistack.wiring import open_stack

pytestmark = pytest.mark.anyio

OTHERS = (
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
    "where datname = current_database() and pid <> pg_backend_pid()"
)


async def kill_backends(dsn: str) -> int:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        return len(await (await conn.execute(OTHERS)).fetchall())


@pytest.fixture
async def postgres(settings: Settings):
    opened = Postgres(settings.postgres)
    await opened.open()
    yield opened
    await opened.close()


async def until_asleep(dsn: str, backends: int) -> None:
    asked = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and wait_event = 'PgSleep'"
    )
    with anyio.fail_after(20):
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
            while await (await conn.execute(asked)).fetchone() != (backends,):  # noqa: ASYNC110
                await anyio.sleep(0.01)


async def fill_pool(postgres: Postgres, dsn: str) -> None:
    """All connections that the pool may have, idle."""
    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(postgres.fetch, "select pg_sleep(1)", {})
        await until_asleep(dsn, 4)


async def test_idle_connections_that_died_are_not_handed_out(postgres: Postgres, dsn: str) -> None:
    await fill_pool(postgres, dsn)
    assert await kill_backends(dsn) >= 4
    async with postgres.transaction() as conn:  # which is never tried again
        assert (await (await conn.execute("select 1 as one")).fetchone()) == {"one": 1}
    for _ in range(4):
        async with postgres.read() as conn:
            await conn.execute("select 1")


async def test_a_read_whose_connection_breaks_is_asked_again(postgres: Postgres, dsn: str) -> None:
    found = []

    async def read() -> None:
        found.append(await postgres.fetch("select 1 as one, pg_sleep(2)::text", {}))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
        await until_asleep(dsn, 3)
        assert await kill_backends(dsn) >= 3, "with what the pool opened ahead"
    assert [rows[0]["one"] for rows in found] == [1, 1, 1]


async def test_reads_go_on_while_backends_are_killed(postgres: Postgres, dsn: str) -> None:
    done = 0
    stop = anyio.current_time() + 1.5

    async def read() -> None:
        nonlocal done
        while anyio.current_time() < stop:
            assert await postgres.fetch("select 1 as one", {}) == [{"one": 1}]
            done += 1

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(read)
        for _ in range(2):
            await anyio.sleep(0.4)
            assert await kill_backends(dsn)
    assert done > 100


async def test_a_database_that_stays_away_is_an_error_in_time() -> None:
    away = Postgres(Options(dsn="host=/nonexistent dbname=x", pool_min=0, timeout_s=0.3))
    await away.open()
    try:
        start = anyio.current_time()
        with pytest.raises(UnavailableError):
            await away.fetch("select 1", {})
        assert anyio.current_time() - start < 10, "it is asked for no longer than that"
    finally:
        await away.close()


@pytest.mark.slow
async def test_a_database_that_comes_back_is_found_by_the_next_request(
    dsn: str, tmp_path: Path
) -> None:
    """A pool that is left alone doubles its pauses: 4 s by now."""
    real = str(conninfo.conninfo_to_dict(dsn)["host"])
    folder = tmp_path / "s"
    away = Postgres(Options(dsn=conninfo.make_conninfo(dsn, host=str(folder)), timeout_s=1))
    await away.open()
    try:
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await away.fetch("select 1", {})
        folder.symlink_to(real)
        with suppress(UnavailableError):  # one that was at it just before
            await away.fetch("select 1", {})
        assert await away.fetch("select 1 as one", {}) == [{"one": 1}]
    finally:
        await away.close()


async def test_an_error_of_the_statement_is_not_tried_again(postgres: Postgres) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        await postgres.fetch("select 1 / 0", {})


async def test_a_search_survives_killed_backends_and_follows_rebuilds(
    settings: Settings, dsn: str
) -> None:
    query = Query(query="nginx", collection="mine")
    async with open_stack(settings, index=False) as stack:
        await stack.collections.create(LOCAL_OPERATOR, "mine")
        document = NewDocument(path="a.md", source=b"about nginx")
        await stack.documents.put(LOCAL_OPERATOR, "mine", document)
        await stack.indexer.drain()

        async def paths() -> list[str]:
            page = await stack.search.search(LOCAL_OPERATOR, query)
            assert page.total.value == len(page.hits)
            return [hit.path for hit in page.hits]

        assert await paths() == ["a.md"]
        assert await kill_backends(dsn)
        assert await paths() == ["a.md"]
        # The search remembers the live generation; now another one is.
        before = {g.index_name for g in await stack.generations.all()}
        await stack.generations.begin_rebuild("mine")
        assert await stack.indexer.drain()
        assert {g.index_name for g in await stack.generations.all()} - before
        assert await paths() == ["a.md"]
        await stack.collections.delete(LOCAL_OPERATOR, "mine")
        with pytest.raises(NotFoundError):
            await paths()
