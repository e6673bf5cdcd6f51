"""The ledger of one-shot jobs, on a real PostgreSQL, with jobs that end in every way."""

import asyncio
import json
import signal
import subprocess
import sys

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from aistack.errors import NotFoundError
from aistack.jobs import ledger as module
from aistack.jobs.ledger import Ledger
from aistack.jobs.metrics import JobMetrics
from aistack.migrations.runner import migrate
from aistack.monitoring import stored
from aistack.settings.schema import Postgres as PostgresSettings, Settings
from aistack.stores.postgres import Postgres

pytestmark = pytest.mark.anyio


@pytest.fixture
async def postgres(settings: Settings):  # type: ignore[no-untyped-def]  # an async generator
    opened = Postgres(settings.postgres)
    await opened.open()
    yield opened
    await opened.close()


async def fail(ledger: Ledger, error: BaseException) -> None:
    async def job() -> None:
        async with ledger.run("reindex") as run:
            run.detail["collections"] = 1
            raise error

    with pytest.raises(type(error)):
        await job()


async def test_runs_are_told_as_they_ended(postgres: Postgres) -> None:
    ledger = Ledger(postgres)
    async with ledger.run("reindex") as run:
        run.detail["collections"] = 6
        (now,) = await ledger.runs()
        assert (now.state, now.finished_at) == ("running", None)
    async with ledger.run("reindex") as run:
        run.failed = True
    await fail(ledger, NotFoundError("no such collection"))
    await fail(ledger, RuntimeError("postgres://user:secret@host"))
    await fail(ledger, asyncio.CancelledError())
    runs = list(reversed(await ledger.runs("reindex")))
    assert [r.state for r in runs] == ["ok", "failed", "failed", "failed", "failed"]
    assert runs[0].detail == {"collections": 6}
    assert runs[0].finished_at is not None
    assert runs[0].finished_at >= runs[0].started_at
    assert runs[2].detail == {"collections": 1, "error": "no such collection"}
    assert runs[3].detail == {"collections": 1, "error": "RuntimeError"}
    assert await ledger.runs("migrate") == []
    (totals,) = await ledger.totals()
    assert (totals.started, totals.ok, totals.failed) == (5, 1, 4)


async def test_a_killed_run_is_unfinished(postgres: Postgres) -> None:
    ledger = Ledger(postgres)
    code = (
        "import asyncio, sys\n"
        "from aistack.jobs.ledger import Ledger\n"
        "from aistack.settings.schema import Postgres as S\n"
        "from aistack.stores.postgres import Postgres\n"
        "async def main():\n"
        "    async with Ledger(Postgres(S(dsn=sys.argv[1]))).run('ingest'):\n"
        "        print('begun', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen(  # noqa: ASYNC220 - it writes one line and is killed
        [sys.executable, "-c", code, postgres.dsn], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"begun\n"
    assert [r.state for r in await ledger.runs()] == ["running"]
    child.send_signal(signal.SIGKILL)
    child.wait(10)
    child.stdout.close()
    (run,) = await ledger.runs()
    async with asyncio.timeout(30):
        while run.state == "running":  # PostgreSQL notices the closed socket a moment later
            await asyncio.sleep(0.05)
            (run,) = await ledger.runs()
    assert (run.state, run.finished_at) == ("unfinished", None)
    (totals,) = await ledger.totals()
    assert (totals.started, totals.ok, totals.failed) == (1, 0, 0)


async def test_a_lost_connection_does_not_lose_the_end(postgres: Postgres) -> None:
    ledger = Ledger(postgres)
    async with ledger.run("ingest") as run:
        run.detail["created"] = 3
        async with postgres.read() as conn:
            await conn.execute(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory' and classid = %s::bigint",
                (module._SPACE,),
            )
    (one,) = await ledger.runs()
    assert (one.state, one.detail) == ("ok", {"created": 3})


async def test_rows_are_pruned_and_totals_are_not(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    ledger = Ledger(postgres)
    async with ledger.run("migrate"):
        pass
    async with ledger.run("reindex"):
        for _ in range(6):
            async with ledger.run("reindex"):
                pass
        states = [r.state for r in await ledger.runs("reindex")]
        assert states == ["ok", "ok", "ok", "running"]  # the oldest lives: it is kept
    assert [r.state for r in await ledger.runs("reindex")] == ["ok", "ok", "ok"]
    assert len(await ledger.runs("migrate")) == 1
    totals = {t.job: t.ok for t in await ledger.totals()}
    assert totals == {"migrate": 1, "reindex": 7}


async def test_details_stay_short(postgres: Postgres) -> None:
    ledger = Ledger(postgres)
    async with ledger.run("ingest") as run:
        run.detail |= {"names": ["x" * 100] * 100}
    await fail(ledger, NotFoundError("n\0o " * 1000))
    failed, ok = await ledger.runs()
    assert ok.detail == {"too_long": True}
    assert len(json.dumps(failed.detail)) < 600


async def test_the_migration_that_makes_the_ledger_is_recorded(empty_dsn: str) -> None:
    ledger = Ledger(Postgres(PostgresSettings(dsn=empty_dsn)))
    with pytest.raises(RuntimeError):
        async with ledger.run("migrate"):
            raise RuntimeError  # nowhere to write to: the error alone is told
    async with ledger.run("migrate") as run:
        run.detail["applied"] = len(await migrate(empty_dsn))
    (one,) = await ledger.runs()
    assert (one.job, one.state) == ("migrate", "ok")
    assert one.finished_at is not None
    assert one.started_at < one.finished_at


async def test_metrics_tell_totals_and_survive_a_dead_database(
    postgres: Postgres, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(postgres)
    collector = JobMetrics(ledger)

    async def render() -> str:
        return (await collector.render()).decode()

    async with ledger.run("reindex"):
        pass
    await fail(ledger, NotFoundError("none"))
    text = await render()
    assert "aistack_job_ledger_readable 1.0" in text
    assert 'aistack_job_runs_total{job_name="reindex",outcome="ok"} 1.0' in text
    assert 'aistack_job_runs_total{job_name="reindex",outcome="failed"} 1.0' in text
    assert 'aistack_job_starts_total{job_name="reindex"} 2.0' in text
    assert 'aistack_job_last_success_timestamp_seconds{job_name="reindex"} 1.' in text
    assert 'aistack_job_last_failure_timestamp_seconds{job_name="reindex"} 1.' in text
    async with ledger.run("reindex"):
        pass
    assert await render() == text, "asked again within a moment"

    monkeypatch.setattr(stored, "_KEPT_S", 0.0)
    monkeypatch.setattr(stored, "_PATIENCE_S", 0.2)
    collector._next = 0.0
    with psycopg.connect(dsn, autocommit=True) as blocker:
        blocker.execute("begin")
        blocker.execute("lock table job_totals in access exclusive mode")
        assert await render() == text.replace("readable 1.0", "readable 0.0")
    assert 'outcome="ok"} 2.0' in await render()
    away = JobMetrics(Ledger(Postgres(PostgresSettings(dsn="host=/nonexistent"))))
    assert b"aistack_job_ledger_readable 0.0" in await away.render()
    assert len(list(text_string_to_metric_families(text))) == 5
