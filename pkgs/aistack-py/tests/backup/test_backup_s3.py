"""A repository in an object store: the whole way there and back, over TLS."""

import re
import subprocess
from pathlib import Path

import pytest
from backup_host import KEY, PLAINTEXT, Host, open_up
from object_store import BUCKET, object_store
from test_backup_restore import notes

from aistack.backup import catalogue
from aistack.backup.target import target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_there_and_back(host: Host, tmp_path: Path) -> None:
    home = tmp_path / "s3"
    home.mkdir()
    open_up(home)
    with object_store(home) as (repository, log):
        # PostgreSQL's own user archives, and reads neither secrets nor the authority but by these.
        for name in ("key-id", "key-secret"):
            (home / name).chmod(0o644)
        host.repositories["remote"] = repository
        host.prepare()
        report = host.backup()
        assert report.state == "ok", report.outcomes
        host.sql("insert into notes values (3, 'after the first')")
        assert host.backup().state == "ok"
        held = catalogue.read(host.settings.backup, "remote")
        assert [one.type for one in held.physical] == ["full", "incr"]

        # Verification reads everything back.
        words = host.command("backup", "verify", "--repository", "remote")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

        # A host that has nothing but the repository.
        local = host.repositories.pop("local")
        host.prepare()
        wanted = target(None, None, None)
        assert notes(host, wanted, tmp_path / "restored", "remote") == [1, 2, 3]

        # A server that stops waits until its last segment is somewhere.
        host.repositories = {"local": local}
        host.prepare()
    asked = log.read_text()
    assert re.search(rf'"PUT /{BUCKET}/host-a/restic/', asked)
    assert re.search(rf'"PUT /{BUCKET}/host-a/pgbackrest/', asked)
    assert KEY not in asked
    assert PLAINTEXT not in asked
