"""Garbage collection as a person or the timer runs it."""

import json
from pathlib import Path

import psycopg
import pytest
from test_cli import config, run

from aistack.settings.schema import Settings

__all__ = ["config"]  # a fixture

INSERT = (
    "insert into solutions (question, answer, value, parts, created_at) select 'q' || n, 'a' || n,"
    ' n / 100.0, \'{"outcome": 0, "feedback": 0, "reusability": 0, "complexity": 0,'
    " \"novelty\": 0}', now() - interval '40 days' from generate_series(1, 3) n"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_from_plan_to_undo(config: Path, settings: Settings) -> None:
    config.write_text(config.read_text() + "[gc]\nmax_fraction = 0.7\n")
    run(config, "migrate")
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute(INSERT)
    run(config, "reindex")
    table = run(config, "gc", "plan")
    assert table.count("expired  discard") == 2
    assert "value 0.01" in table
    plan = json.loads(run(config, "gc", "run", "--dry-run", "--json"))
    assert [s["reason"] for s in plan["steps"] if s["tier"] == "expired"] == ["expired"] * 2
    assert plan["tiers"]["expired"]["held_back"] == 1
    report = json.loads(run(config, "gc", "run", "--json"))
    assert (report["result"], report["live_before"], report["live_after"]) == ("ok", 3, 1)
    assert run(config, "gc", "history", "1").count("expired") == 2
    assert "solutions     1 of 100000" in run(config, "gc", "status")
    assert json.loads(run(config, "gc", "status", "--json"))["in_trash"] == 2
    assert json.loads(run(config, "gc", "undo", "1", "--json"))["restored"] == 2
    assert json.loads(run(config, "gc", "undo", "1", "--json"))["restored"] == 0
    lines = run(config, "gc", "history").splitlines()
    assert [line.split()[1:2] for line in lines[1:]] == [["undo"], ["undo"], ["run"]]
    with psycopg.connect(settings.postgres.dsn) as conn:
        jobs = conn.execute("select job, outcome from job_runs where job like 'gc%' order by id")
        assert jobs.fetchall() == [
            ("gc", "ok"), ("gc_undo", "ok"), ("gc_undo", "ok"),
        ]  # fmt: skip


def test_a_second_run_says_so_and_ends_well(config: Path, settings: Settings) -> None:
    run(config, "migrate")
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute("select pg_advisory_lock(%s)", (0x676172626167,))
        assert not run(config, "gc", "run", "--json")
        assert json.loads(run(config, "gc", "status", "--json"))["running"]
        jobs = conn.execute("select outcome, detail from job_runs where job = 'gc'")
        assert jobs.fetchall() == [("ok", {"busy": True})]


@pytest.mark.slow
def test_a_refusal_is_a_failure(config: Path, settings: Settings) -> None:
    run(config, "migrate")
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute(INSERT)
    run(config, "reindex")
    run(config, "gc", "run")
    with psycopg.connect(settings.postgres.dsn) as conn:
        conn.execute("delete from solutions where deleted_at is null")
    assert "aistack gc run --force" in run(config, "gc", "run", code=1)
    run(config, "gc", "run", "--force")


def test_a_run_that_cannot_begin_is_in_the_ledger(config: Path, settings: Settings) -> None:
    run(config, "migrate")
    config.write_text(config.read_text() + '[redis]\nurl = "redis://x"\npassword_file = "/none"\n')
    run(config, "gc", "run", code=4)
    with psycopg.connect(settings.postgres.dsn) as conn:
        jobs = conn.execute("select outcome from job_runs where job = 'gc'").fetchall()
    assert jobs == [("failed",)]
