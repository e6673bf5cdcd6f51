"""The ways back: to a second, to a position, to a run; beside the database or in its place."""

import os
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from backup_host import Host
from restoring import Switch, choice, drill, note, notes, now, save, under_way

from aistack.backup import catalogue, restore
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restore import Restorer
from aistack.backup.table import dump_table
from aistack.backup.target import Target, target
from aistack.errors import ConfigError, ConflictError, InvalidError, NotFoundError, UnavailableError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_to_the_second_between_two_writes(host: Host, tmp_path: Path) -> None:
    note(host, 10)
    time.sleep(0.05)
    between = now(host)
    time.sleep(0.05)
    note(host, 11)
    (lsn,) = host.sql("select pg_current_wal_lsn()::text")[0]
    note(host, 12)
    save(host)
    assert notes(host, target(between, None, None), tmp_path / "time") == [1, 2, 10]
    assert notes(host, target(None, str(lsn), None), tmp_path / "lsn") == [1, 2, 10, 11]
    assert notes(host, Target(), tmp_path / "last") == [1, 2, 10, 11, 12]
    first = catalogue.read(host.settings.backup, "local").physical[0].run
    assert notes(host, target(None, None, first), tmp_path / "run") == [1]


def test_a_backup_whose_wal_went_by_retention_comes_back_as_it_was_when_it_ended(
    host: Host, tmp_path: Path
) -> None:
    """As every weekly and monthly one is, after the days of which every second is to be had."""
    own = host.settings.backup
    first, second = catalogue.read(own, "local").physical
    PgBackRest(own).expire_archive("local", 1)
    assert notes(host, Target(run=first.run), tmp_path / "first") == [1]
    assert notes(host, Target(run=second.run), tmp_path / "second") == [1, 2]
    found = choice(host, Target(run=first.run))
    assert (found.at_end, choice(host, Target(run=second.run)).at_end) == (True, False)
    moment = first.finished_at + timedelta(milliseconds=1)
    with pytest.raises(NotFoundError, match=f"any_second_days.*--run {first.run}"):
        choice(host, Target(time=moment))
    assert drill(host, run=first.run).ok


def test_the_real_program_says_what_postgresql_is_told(host: Host, tmp_path: Path) -> None:
    backrest, into = PgBackRest(host.settings.backup), str(tmp_path / "segment")
    first = catalogue.read(host.settings.backup, "local").physical[0].first_wal
    assert backrest.get(first, into) == 0
    assert backrest.get("0000000900000000000000FF", into) == 1
    (host.home / "local" / "pgbackrest" / "archive" / "aistack" / "archive.info").unlink()
    (host.home / "local" / "pgbackrest" / "archive" / "aistack" / "archive.info.copy").unlink()
    assert backrest.get(first, into) == 255


def test_in_place_after_a_database_was_dropped(host: Host) -> None:
    note(host, 10)
    before = now(host)
    time.sleep(0.05)
    # A database's files go before the commit of its DROP: recovery has to stop at another one.
    note(host, 11)
    with psycopg.connect(host.dsn, dbname="postgres", autocommit=True) as connection:
        connection.execute("drop database aistack with (force)")
        connection.execute("select pg_switch_wal()")
    switch = Switch(host)
    time.sleep(1)

    def index() -> str:
        assert not switch.users, "nobody uses the database before its index is in place"
        raise UnavailableError("Qdrant does not answer")

    restorer = Restorer(host.settings.backup, switch)
    done = restorer.in_place(choice(host, Target(time=before)), sure=True, index=index)
    assert switch.users, "whatever becomes of the index"
    assert not done.whole
    assert "Qdrant does not answer" in done.index
    assert host.sql("select id from notes order by id") == [(1,), (2,), (10,)]
    assert done.kept_aside is not None
    assert (Path(done.kept_aside) / "PG_VERSION").exists()
    # It archives on, on a time line of its own, and can be backed up and restored again.
    note(host, 20)
    assert host.backup().state == "ok"


def test_a_restore_that_fails_puts_the_old_database_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "_PATIENCE_S", 2)
    note(host, 10)
    save(host)
    switch = Switch(host)
    never = now(host) + timedelta(days=1)
    with pytest.raises(UnavailableError, match="the database is the old one again"):
        Restorer(host.settings.backup, switch).in_place(
            choice(host, Target(time=never)), sure=True, index=None
        )
    assert switch.users
    assert host.sql("select id from notes order by id") == [(1,), (2,), (10,)]


def test_nothing_may_start_the_server_before_all_is_in_place(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(host)
    told = []

    def restored(*_: object, **__: object) -> None:
        told.append(under_way(host).read_text("utf-8"))
        raise UnavailableError("the repository is away")

    monkeypatch.setattr(PgBackRest, "restore", restored)
    with pytest.raises(UnavailableError, match="the repository is away"):
        Restorer(host.settings.backup, Switch(host)).in_place(
            choice(host, Target()), sure=True, index=None
        )
    assert re.fullmatch(r"/.*\.before-\d{8}T\d{6}Z\n", told[0])
    assert not under_way(host).exists()


def killed_half_way(host: Host) -> Path:
    """The database is put aside, and half of it lies in its place."""
    host.stop()
    data = Path(host.settings.backup.data_dir)
    aside = data.with_name(f"{data.name}.before-20260101T000000Z")
    shutil.copytree(data, aside, copy_function=shutil.copy2)
    for folder, _, files in os.walk(aside):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            shutil.chown(path, data.owner())
    shutil.rmtree(data / "global")
    under_way(host).write_text(f"{aside}\n")
    return aside


def test_what_a_killed_restore_left_is_replaced_by_the_next(host: Host) -> None:
    save(host)
    aside = killed_half_way(host)
    done = Restorer(host.settings.backup, Switch(host)).in_place(
        choice(host, Target()), sure=True, index=None
    )
    assert done.kept_aside == str(aside)
    assert not under_way(host).exists()
    assert host.sql("select count(*) from notes") == [(2,)]


def test_after_a_killed_restore_a_failing_one_puts_the_whole_database_back(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(host)
    killed_half_way(host)

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("the repository is away")

    monkeypatch.setattr(PgBackRest, "restore", away)
    with pytest.raises(UnavailableError, match="the database is the old one again"):
        Restorer(host.settings.backup, Switch(host)).in_place(
            choice(host, Target()), sure=True, index=None
        )
    assert host.sql("select count(*) from notes") == [(2,)]


def test_units_that_do_not_stop_are_all_started_again(host: Host) -> None:
    class Stuck(Switch):
        def stop(self) -> None:
            super().stop()
            raise UnavailableError("systemctl did not end within 900 s")

    save(host)
    switch = Stuck(host)
    with pytest.raises(UnavailableError, match="did not end"):
        Restorer(host.settings.backup, switch).in_place(
            choice(host, Target()), sure=True, index=None
        )
    assert switch.users
    assert not under_way(host).exists()
    assert host.sql("select count(*) from notes") == [(2,)]


def test_a_live_database_is_left_alone_unless_asked_twice(host: Host) -> None:
    with pytest.raises(ConflictError, match="--yes"):
        Restorer(host.settings.backup, Switch(host)).in_place(
            choice(host, Target()), sure=False, index=None
        )
    assert host.sql("select count(*) from notes") == [(2,)]


def test_a_backup_of_another_major_version_is_refused_before_anything_stops(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = choice(host, Target())
    assert found.backup.server == restore.server_major()
    monkeypatch.setattr(restore, "server_major", lambda: "99")
    switch = Switch(host)
    with pytest.raises(ConfigError, match=r"this host has 99.*services\.postgresql\.package"):
        Restorer(host.settings.backup, switch).in_place(found, sure=True, index=None)
    assert switch.users
    assert host.sql("select count(*) from notes") == [(2,)]


def test_a_folder_with_something_in_it_is_left_alone(host: Host, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ConflictError, match="not empty"):
        Restorer(host.settings.backup, Switch(host)).into(choice(host, Target()), tmp_path, "all")


def test_rows_that_were_deleted_by_mistake_come_back_as_sql(host: Host, tmp_path: Path) -> None:
    before = now(host)
    time.sleep(0.05)
    host.sql("delete from notes")
    save(host)
    found = choice(host, Target(time=before))
    done = dump_table(host.settings.backup, found, "notes", tmp_path / "rows", lambda _: None)
    programs = subprocess.run(
        ["psql", "-qX", host.dsn, "-f", done.into], capture_output=True, text=True, check=False
    )
    assert programs.returncode == 0, programs.stderr
    assert host.sql("select id from notes order by id") == [(1,), (2,)]
    assert sorted(p.name for p in (tmp_path / "rows").iterdir()) == ["notes.sql"]


def test_the_command_says_what_it_would_restore(host: Host) -> None:
    done = subprocess.run(
        host.command("restore", "--dry-run"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    newest = catalogue.read(host.settings.backup, "local").physical[-1]
    assert newest.label in done.stderr


def test_postgresql_alone_comes_back_where_restic_cannot_read(host: Host, tmp_path: Path) -> None:
    config = host.home / "local" / "restic" / "config"
    config.chmod(0o600)
    config.write_bytes(b"damaged")
    words = host.command("restore", "--only", "postgresql", "--into", tmp_path / "there")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "postgresql" / "PG_VERSION").exists()
    assert not (tmp_path / "there" / "index").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to-time", "2026-11-23T10:00:00", "--into", "x"], "needs its zone"),
        (["--to-time", "yesterday", "--into", "x"], "is no time"),
        (["--to-lsn", "12", "--into", "x"], "is no LSN"),
        (["--to-lsn", "0/1", "--run", "r", "--into", "x"], "one of"),
        (["--into", "x", "--in-place"], "give one of"),
        ([], "give one of"),
        (["--in-place", "--only", "table:documents"], "--into"),
    ],
)
def test_what_cannot_be_meant_is_refused(origin: Host, words: list[str], said: str) -> None:
    done = subprocess.run(
        origin.command("restore", *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr


def test_before_the_first_backup_there_is_nothing(host: Host) -> None:
    with pytest.raises(NotFoundError, match="no backup reaches"):
        choice(host, Target(time=datetime(2020, 1, 1, tzinfo=UTC)))
    with pytest.raises(InvalidError):
        target(datetime(2020, 1, 1), None, None)  # noqa: DTZ001 - that is what is wrong


def test_the_index_of_a_restored_database_is_asked_for_by_its_user(host: Host) -> None:
    said = restore.bring_index(host.config(), choice(host, Target()), None)
    assert said == "rebuilt by the service (local mode)"
