"""Repositories on hosts that take a connection and say no more, as behind a broken firewall."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_host import Host

from aistack.backup import catalogue, restic
from aistack.backup.pgbackrest import PgBackRest
from aistack.errors import UnavailableError
from aistack.settings.schema import Repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def away(kind: str, port: int, home: Path) -> Repository:
    secret = home / "secret-of-another-host"
    secret.write_text("a secret\n")
    if kind == "s3":
        return Repository(
            kind="s3", path="/x", host="127.0.0.1", port=port, bucket="bucket",
            key_id_file=str(secret), key_secret_file=str(secret),
        )  # fmt: skip
    return Repository(
        kind="sftp", path="/x", host="127.0.0.1", port=port, user="kb",
        private_key_file=str(secret), known_hosts_file=str(secret),
    )  # fmt: skip


def test_hosts_that_say_nothing_are_given_up_and_the_others_have_theirs(
    host: Host, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    restic_patience_s = restic._REACH_S
    monkeypatch.setattr(restic, "_REACH_S", 3)
    for kind in ("s3", "sftp"):
        host.repositories[kind] = away(kind, silent, host.home)
    start = time.monotonic()
    report = host.backup()
    assert time.monotonic() - start < restic_patience_s, "a busy machine has much time for it"
    assert report.state == "partial"
    states = {(o.repository, o.part): o.state for o in report.outcomes}
    assert states[("local", "postgresql")] == states[("local", "index")] == "ok"
    for kind in ("s3", "sftp"):
        (said,) = [
            o.error
            for o in report.outcomes
            if (o.repository, o.part, o.state) == (kind, "postgresql", "failed")
        ]
        assert f"repository {kind} does not answer" in (said or "")


def test_what_is_near_is_listed_and_restored_without_what_is_away(
    host: Host, tmp_path: Path
) -> None:
    """Refused at once: by the command itself, whose patience no test can shorten."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    host.repositories["sftp"] = away("sftp", port, host.home)
    listed = subprocess.run(
        host.command("backup", "list"), capture_output=True, text=True, check=False
    )
    assert listed.returncode == 3, "one repository could not be read"
    assert catalogue.read(host.settings.backup, "local").physical[-1].label in listed.stdout
    assert "sftp:" in listed.stderr
    for words in (["plan"], ["expire", "--dry-run"], ["expire"]):
        command = host.command("backup", *words)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (words, done.returncode) == (words, 3), done.stderr
    for command in (
        host.command("backup", "show", "20200101T000000Z-0000"),
        host.command("restore", "--into", tmp_path / "none", "--run", "20200101T000000Z-0000"),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 75, "what is away may have it"
    words = host.command("restore", "--dry-run", "--json")
    tried = subprocess.run(words, capture_output=True, text=True, check=False)
    assert json.loads(tried.stdout)["repository"] == "local"
    words = host.command("restore", "--into", tmp_path / "there")
    restored = subprocess.run(words, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    assert (tmp_path / "there" / "postgresql" / "PG_VERSION").exists()
    assert (tmp_path / "there" / "index" / catalogue.RECORD).exists()


def test_a_repository_whose_secret_is_missing_hides_no_other(host: Host, tmp_path: Path) -> None:
    host.repositories["s3"] = Repository(
        kind="s3", path="/x", host="127.0.0.1", port=1, bucket="bucket",
        key_id_file="/nonexistent", key_secret_file="/nonexistent",
    )  # fmt: skip
    for code, words in (
        (3, ["backup", "list"]),
        (3, ["backup", "expire"]),
        (0, ["restore", "--into", str(tmp_path / "there")]),
        (4, ["backup", "list", "-r", "s3"]),
    ):
        command = host.command(*words)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (words, done.returncode) == (words, code), done.stderr
        assert "backup.repositories.s3.key_id_file" in done.stderr
    assert (tmp_path / "there" / "postgresql" / "PG_VERSION").exists()


def test_a_repository_that_does_not_answer_is_not_called_undecryptable(
    host: Host, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGBACKREST_IO_TIMEOUT", "2")
    host.repositories["s3"] = away("s3", silent, host.home)
    with pytest.raises(UnavailableError) as told:
        PgBackRest(host.settings.backup).contents("s3")
    assert "timeout" in told.value.detail
    assert "key_file" not in told.value.detail
