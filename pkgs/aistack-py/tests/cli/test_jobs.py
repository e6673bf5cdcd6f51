"""One-shot jobs: what they say, and what the ledger keeps of them."""

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from test_cli import bad, config, run

from aistack.settings.schema import Settings

__all__ = ["config"]  # a fixture


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute(query.encode()).fetchall()


def ledger(settings: Settings) -> list[tuple[object, ...]]:
    return rows(settings.postgres.dsn, "select job, outcome, detail from job_runs order by id")


@pytest.mark.slow
def test_every_job_is_in_the_ledger(config: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\ntext")
    (tmp_path / "docs" / "empty.md").write_text("")
    run(config, "migrate")
    run(config, "ingest", "-c", "mine", str(tmp_path / "docs"), code=3)
    run(config, "reindex", "mine")
    run(config, "reindex", "none", code=5)
    config.write_text(config.read_text() + '[redis]\nurl = "redis://x"\npassword_file = "/none"\n')
    run(config, "reindex", code=4)  # fails before anything is open
    counts = {"created": 1, "updated": 0, "unchanged": 0, "skipped": 1}
    *ended, early = ledger(settings)
    assert early[:2] == ("reindex", "failed")
    assert "redis.password_file" in str(early[2])
    assert ended == [
        ("migrate", "ok", {"applied": 0}),
        ("ingest", "ok", {"collection": "mine", **counts}),
        ("reindex", "ok", {"collections": 1, "failing": 0}),
        ("reindex", "failed", {"collections": 1, "error": "no such collection"}),
    ]


@pytest.mark.slow
def test_a_dry_run_names_and_changes_nothing(
    config: Path, settings: Settings, tmp_path: Path
) -> None:
    assert "nixos_docs" not in run(config, "reindex", "--dry-run")  # nothing was made yet
    (tmp_path / "a.md").write_text("# A\n\ntext")
    run(config, "ingest", "-c", "mine", str(tmp_path / "a.md"))
    dsn = settings.postgres.dsn
    before = rows(dsn, "select * from generations order by id"), ledger(settings)
    lines = run(config, "reindex", "--dry-run").splitlines()
    assert lines[0].split() == ["collection", "documents", "passages", "rebuild"]
    assert ["mine", "1", "1", "-"] in [line.split() for line in lines]
    assert len(lines) == 8
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "insert into generations (collection, state, index_name, avgdl)"
            " values ('mine', 'building', 'x', 1)"
        )
    (line,) = run(config, "reindex", "--dry-run", "mine").splitlines()[1:]
    assert line.split() == ["mine", "1", "1", "under", "way,", "would", "begin", "anew"]
    with psycopg.connect(dsn) as conn:
        conn.execute("delete from generations where index_name = 'x'")
    assert (rows(dsn, "select * from generations order by id"), ledger(settings)) == before
    assert "no such collection: none" in run(config, "reindex", "--dry-run", "mine", "none", code=5)


def test_an_import_of_nothing_is_told(config: Path, settings: Settings, tmp_path: Path) -> None:
    outside, docs = tmp_path / "outside", tmp_path / "docs"
    outside.mkdir()
    docs.mkdir()
    (outside / "a.md").write_text("# A\n\ntext")
    (docs / "a.md").symlink_to(outside / "a.md")
    (docs / "more").symlink_to(outside)
    run(config, "migrate")
    said = run(config, "ingest", "-c", "mine", str(docs), code=5)
    assert f"no file to import in {docs}: hidden ones, pictures and links that lead out" in said
    assert ledger(settings)[-1][1] == "failed"


@pytest.mark.parametrize(
    "words", ["reindex --dry-run", "backup status", "gc status", "issues list", "keys list"]
)
def test_without_a_schema_a_command_says_so(empty_dsn: str, tmp_path: Path, words: str) -> None:
    dsn = json.dumps(empty_dsn)
    empty = bad(
        tmp_path,
        f"[postgres]\ndsn = {dsn}\n[backup]\ndsn = {dsn}\n[qdrant]\npath = '{tmp_path}/index'\n",
    )
    assert "run aistack migrate" in run(empty, *words.split(), code=75)


def test_up_names_what_it_skips(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# A\n\nThe index follows PostgreSQL.")
    (docs / "b.md").write_bytes(b"\x7fELF\x00\x01")
    command = [sys.executable, "-m", "aistack", "up", "--once"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "data"), "--docs", str(docs)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "skipped b.md: not UTF-8 text" in done.stderr
    assert "2 files: 1 created, 0 updated, 0 unchanged, 1 skipped" in done.stderr
