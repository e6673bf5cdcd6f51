"""The runner: forward only, once each, and what it does with a database newer than its code."""

import hashlib
from collections.abc import Sequence

import anyio
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aistack.errors import ConfigError, ConflictError, UnavailableError
from aistack.migrations import runner
from aistack.migrations.chain import Migration
from aistack.migrations.runner import migrate, require_schema
from aistack.settings.schema import Postgres as Options
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio


def step(number: int, sql: str, oldest: int | None = None) -> Migration:
    return Migration(
        number=number,
        name=f"{number:04}_step.sql",
        sql=sql,
        checksum=hashlib.sha256(sql.encode()).hexdigest(),
        phase="expand" if oldest is None else "contract",
        oldest=oldest,
    )


OLD = [step(1, "create table t (a text)"), step(2, "alter table t add column b text")]
EXPANDED = [*OLD, step(3, "alter table t add column c text")]
CONTRACTED = [*EXPANDED, step(4, "alter table t drop column a", oldest=3)]


async def usable(dsn: str, migrations: Sequence[Migration]) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        await require_schema(conn, migrations)


async def test_each_once_and_only_named_when_asked(empty_dsn: str) -> None:
    assert await migrate(empty_dsn, migrations=OLD, dry_run=True) == [m.name for m in OLD]
    with pytest.raises(UnavailableError, match="no schema yet; run aistack migrate"):
        await usable(empty_dsn, OLD)
    assert await migrate(empty_dsn, migrations=OLD) == [m.name for m in OLD]
    assert await migrate(empty_dsn, migrations=OLD) == []
    await usable(empty_dsn, OLD)
    with pytest.raises(UnavailableError, match="older one; run aistack migrate"):
        await usable(empty_dsn, EXPANDED)


async def test_older_code_runs_on_what_was_expanded(empty_dsn: str) -> None:
    await migrate(empty_dsn, migrations=EXPANDED)
    assert await migrate(empty_dsn, migrations=OLD) == []
    assert await migrate(empty_dsn, migrations=OLD, dry_run=True) == []
    await usable(empty_dsn, OLD)
    # And back again: nothing is done twice.
    assert await migrate(empty_dsn, migrations=EXPANDED) == []


async def test_a_contraction_refuses_code_that_needs_what_is_gone(empty_dsn: str) -> None:
    await migrate(empty_dsn, migrations=CONTRACTED)
    assert await migrate(empty_dsn, migrations=EXPANDED) == []
    await usable(empty_dsn, EXPANDED)
    said = (
        "0004_step.sql.*ends before 0003; this one's ends at 0002: switch to the newer generation"
    )
    with pytest.raises(ConfigError, match=said):
        await migrate(empty_dsn, migrations=OLD)
    with pytest.raises(ConfigError, match=said):
        await usable(empty_dsn, OLD)


async def test_a_history_from_before_there_was_the_rule(empty_dsn: str) -> None:
    await migrate(empty_dsn, migrations=OLD)
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await conn.execute("alter table schema_history drop column oldest_code")
    await usable(empty_dsn, OLD)
    assert await migrate(empty_dsn, migrations=EXPANDED, dry_run=True) == ["0003_step.sql"]
    assert len(await migrate(empty_dsn, migrations=CONTRACTED)) == 2
    with pytest.raises(ConfigError):
        await usable(empty_dsn, OLD)


async def test_another_chain_is_refused(empty_dsn: str) -> None:
    await migrate(empty_dsn, migrations=OLD)
    with pytest.raises(ConflictError, match="differs from the one that was applied"):
        await migrate(empty_dsn, migrations=[OLD[0], step(2, "select 1")])
    with pytest.raises(ConflictError, match=r"0002_step\.sql, which is not of this chain"):
        await migrate(empty_dsn, migrations=[OLD[0], EXPANDED[2]])
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await conn.execute("delete from schema_history where number = 1")
    with pytest.raises(ConflictError, match=r"after 0001_step\.sql, but not that one"):
        await migrate(empty_dsn, migrations=OLD)


async def test_one_that_fails_leaves_nothing_and_the_next_goes_on(empty_dsn: str) -> None:
    bad = step(2, "alter table t add column b text; select 1 / 0")
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(empty_dsn, migrations=[OLD[0], bad])
    assert await migrate(empty_dsn, migrations=OLD) == [OLD[1].name]


async def test_what_the_database_says_is_told(empty_dsn: str) -> None:
    full = "do $$ begin raise exception 'no room' using errcode = 'disk_full'; end $$"
    with pytest.raises(UnavailableError, match="cannot be migrated now: no room"):
        await migrate(empty_dsn, migrations=[step(1, full)])
    with pytest.raises(UnavailableError, match=r"does not answer \(postgres\.dsn\)"):
        await migrate("host=/nonexistent dbname=x", migrations=OLD)


async def test_a_role_that_may_not_is_named_with_what_helps(empty_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await conn.execute("create role weak login")
    weak = make_conninfo(empty_dsn, user="weak")
    with pytest.raises(ConfigError, match=r"role weak may not.*schema public") as told:
        await migrate(weak, migrations=OLD)
    await migrate(empty_dsn, migrations=OLD)
    with pytest.raises(ConfigError, match=r"role weak may not.*schema_history"):
        await migrate(weak, migrations=OLD)
    with pytest.raises(ConfigError, match=r"role weak may not.*table t"):
        async with Postgres(Options(dsn=weak)).dedicated() as conn:
            await conn.execute("select * from t")
    # What is told helps.
    assert 'ALTER DATABASE ... OWNER TO "weak"' in told.value.detail
    async with await psycopg.AsyncConnection.connect(empty_dsn, autocommit=True) as conn:
        await conn.execute("drop table t, schema_history")
        await conn.execute(f"alter database {conn.info.dbname} owner to weak".encode())
    assert await migrate(weak, migrations=OLD) == [one.name for one in OLD]


async def test_a_table_in_use_is_waited_for_in_short_tries(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_LOCK_WAIT_S", 0.1)
    monkeypatch.setattr(runner, "_PAUSE_S", 0.05)
    await migrate(empty_dsn, migrations=OLD[:1])
    async with await psycopg.AsyncConnection.connect(empty_dsn) as user:
        await user.execute("select * from t")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: migrate(empty_dsn, migrations=OLD))
            await anyio.sleep(0.5)
            # Whoever comes later is not held up behind the migration.
            async with await psycopg.AsyncConnection.connect(empty_dsn) as other:
                await other.execute("set statement_timeout = '20s'")
                await other.execute("select * from t")
            await user.commit()
    await usable(empty_dsn, OLD)
    async with await psycopg.AsyncConnection.connect(empty_dsn) as user:
        await user.execute("select * from t")
        monkeypatch.setattr(runner, "_TRIES", 2)
        with pytest.raises(UnavailableError, match="in use all the time"):
            await migrate(empty_dsn, migrations=EXPANDED)
