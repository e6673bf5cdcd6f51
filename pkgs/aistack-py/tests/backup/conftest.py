"""Hosts that can be backed up, each test its own."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from backup_host import PLAINTEXT, Host, copy_file, open_up

from aistack.migrations.runner import migrate
from aistack.settings.schema import Repository


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with two runs, a full and an incremental one; stopped, to be copied."""
    for program in ("pgbackrest", "restic"):
        if shutil.which(program) is None:
            pytest.fail(f"{program} is missing: apt-get install {program}", pytrace=False)
    home = tmp_path_factory.mktemp("origin")
    open_up(home)
    host = Host(home, {"local": Repository(path=str(home / "local"))})
    host.start()
    host.prepare()
    host.archive()
    anyio.run(migrate, host.dsn)
    host.sql("create table notes (id int primary key, body text not null)")
    host.sql("insert into notes values (1, %s)", PLAINTEXT)
    assert host.backup().state == "ok"
    host.sql("insert into notes values (2, 'the second')")
    start = time.monotonic()
    assert host.backup().state == "ok"
    host.run_s = time.monotonic() - start
    host.stop()
    return host


@pytest.fixture
def host(origin: Host, tmp_path: Path) -> Iterator[Host]:
    """A copy of the host, running."""
    home = tmp_path / "host"
    shutil.copytree(origin.home, home, symlinks=True, copy_function=copy_file)
    for folder, names, _ in os.walk(origin.home):
        for name in [".", *names]:
            source = Path(folder, name)
            there = home / source.relative_to(origin.home)
            if not there.is_symlink():
                os.chown(there, source.stat().st_uid, source.stat().st_gid)
    open_up(home)
    copy = Host(home, {"local": Repository(path=str(home / "local"))})
    copy.prepare()
    copy.start()
    yield copy
    copy.stop()
