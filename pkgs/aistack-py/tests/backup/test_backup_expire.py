"""Retention in real repositories: what is too old goes, and what stays can be restored."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from backup_host import Host
from restoring import notes

from aistack.backup import catalogue, expire
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.target import Target
from aistack.backup.verify import verify
from aistack.backup.wal import SEGMENT_BYTES
from aistack.settings.schema import Retention

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ONE = Retention(daily=1, weekly=0, monthly=0, any_second_days=1)


def test_what_is_too_old_goes_and_what_stays_can_be_restored(host: Host, tmp_path: Path) -> None:
    own = host.settings.backup
    report = host.backup("full")
    # When the newest is as old as every second is to be had: of what was before none is needed.
    now = datetime.now(UTC) + timedelta(days=1, seconds=1)
    before = catalogue.read(own, "local")
    *old, newest = before.physical

    words = host.command("backup", "expire", "--dry-run")
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert all(one.label in told.stdout for one in before.physical)
    assert catalogue.read(own, "local") == before

    todo = expire.decide(before, ONE, now)
    assert todo.physical == [one.label for one in reversed(old)], (
        "what builds on another goes first"
    )
    anyio.run(expire.apply, own, todo)
    left = catalogue.read(own, "local")
    assert left.physical == [newest]
    held = [(one.part, one.run) for one in left.kept]
    assert held == [("logical", old[0].run), ("index", report.id)], "the last of each stays"
    (segments,) = PgBackRest(own).segments("local").values()
    assert min(segments) == newest.first_wal

    again = expire.decide(left, ONE, now)
    assert (again.physical, again.snapshots) == ([], [])
    assert anyio.run(verify, own, "local", now, SEGMENT_BYTES).faults == []
    assert notes(host, Target(run=report.id), tmp_path / "there") == [1, 2]
