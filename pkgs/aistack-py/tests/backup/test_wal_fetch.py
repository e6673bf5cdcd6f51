"""What PostgreSQL is told of a segment: that there is none ends a recovery, so it must be known."""

import os
import subprocess
from pathlib import Path

import pytest

from aistack.backup import scratch
from aistack.backup.pgbackrest import PgBackRest
from aistack.settings.schema import Backup, Repository

PROGRAM = """#!/bin/sh
case "$PGBACKREST_REPO1_PATH" in
  */has/*) echo "$3" > "$4" ;;
  */lacks/*) exit 1 ;;
  *) exit 103 ;;
esac
"""
NO_SECRET = Repository(
    kind="s3", path="/x", host="h", bucket="b", key_id_file="/none", key_secret_file="/none"
)


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["has"], 0),
        (["lacks"], 1),
        (["lacks", "has"], 0),
        (["away", "has"], 0),
        (["no-secret", "has"], 0),
        (["lacks", "away"], 1),
        (["no-secret", "lacks"], 1),
        (["away"], 255),
        (["no-secret", "away"], 255),
    ],
)
def test_no_segment_is_said_only_by_a_repository_that_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], status: int
) -> None:
    program = tmp_path / "pgbackrest"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "key").write_text("a key")
    places = {n: NO_SECRET if n == "no-secret" else Repository(path=f"/{n}") for n in names}
    backup = Backup(repositories=places, key_file=str(tmp_path / "key"))
    into = tmp_path / "segment"
    found = PgBackRest(backup, tmp_path).get("000000010000000000000003", str(into))
    assert found == status
    assert into.exists() is (status == 0)


@pytest.mark.parametrize(("name", "status"), [("has", 0), ("lacks", 1), ("away", 255)])
def test_a_scratch_server_is_told_the_same(tmp_path: Path, name: str, status: int) -> None:
    program = tmp_path / "pgbackrest"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    line = scratch.FETCH.replace("%f", "000000010000000000000003").replace("%p", "segment")
    places = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    places["PGBACKREST_REPO1_PATH"] = f"/{name}/pgbackrest"
    done = subprocess.run(["sh", "-c", line], env=places, cwd=tmp_path, check=False)
    assert done.returncode == status


def test_without_the_key_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    backup = Backup(repositories={"local": Repository(path="/has")}, key_file="/none")
    assert PgBackRest(backup, tmp_path).get("000000010000000000000003", "x") == 255
