"""A cluster takes another one's place, as after an upgrade: repositories go on with both."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from backup_host import Host
from restoring import note, notes, now, save

from aistack.backup import catalogue, expire
from aistack.backup.target import Target, choose, target
from aistack.backup.verify import verify
from aistack.migrations.runner import migrate
from aistack.postgres_server.programs import server_major
from aistack.postgres_upgrade import backups
from aistack.settings.schema import Retention

pytestmark = pytest.mark.slow
SEGMENT_BYTES = 16 * 2**20


def test_backups_begin_anew_and_the_old_ones_stay(host: Host, tmp_path: Path) -> None:
    own, version = host.settings.backup, server_major()
    assert backups.fault(own, version) is None
    assert "no backup of PostgreSQL 99 is younger than 26 h" in str(backups.fault(own, "99"))
    old = catalogue.read(own, "local")
    note(host, 3)
    before_the_upgrade = now(host)
    note(host, 4)
    save(host)

    host.stop()
    shutil.move(host.home / "pg" / "data", tmp_path / "old")
    host.start()
    host.archive()
    anyio.run(migrate, host.dsn)
    assert "another PostgreSQL cluster" in str(host.backup().outcomes[0].error)

    said: list[str] = []
    made = datetime.now(UTC)
    assert backups.begin_anew(own, version, made, said.append) == ["local"]
    assert said == [f"local: backups of PostgreSQL {version} from now on"]
    assert backups.fault(own, version, made) is not None  # what is there is the other one's
    assert host.backup("full").state == "ok"
    assert backups.begin_anew(own, version, made, said.append) == []
    assert backups.fault(own, version, made) is None

    new = catalogue.read(own, "local")
    assert [one.label for one in new.physical[:-1]] == [one.label for one in old.physical]
    assert {one.archive for one in new.physical} == {f"{version}-1", f"{version}-2"}
    # Each cluster's WAL begins with the same names: that of one does not fill the other's gaps.
    found = anyio.run(verify, own, "local", datetime.now(UTC), SEGMENT_BYTES)
    assert found.faults == []
    assert choose(target(None, None, None), [new]).backup.label == new.physical[-1].label
    run = str(old.physical[0].run)
    assert choose(target(None, None, run), [new]).backup.label == old.physical[0].label

    # All are of one day; no way back is lost by it, nor by WAL that is kept from one backup on.
    rules = Retention(daily=1, weekly=0, monthly=0, any_second_days=1)
    todo = expire.decide(new, rules, old.physical[-1].finished_at + timedelta(days=1, seconds=1))
    assert (todo.physical, todo.archive) == ([], 2)
    anyio.run(expire.apply, own, todo)
    assert notes(host, Target(time=before_the_upgrade), tmp_path / "there") == [1, 2, 3]
