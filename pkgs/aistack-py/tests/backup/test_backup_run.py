"""Runs: what they leave in a repository, and what they never leave."""

import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import msgspec
import psycopg
import pytest
from backup_host import KEY, PLAINTEXT, Host
from restoring import drill

from aistack.backup import catalogue, moment
from aistack.backup.catalogue import RECORD
from aistack.backup.lock import alone
from aistack.backup.metrics import BackupMetrics
from aistack.backup.model import Contents, RunRecord, RunReport
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.store import Memory
from aistack.cli.backup.database import administrator
from aistack.errors import ConflictError
from aistack.migrations.runner import migrate
from aistack.settings.schema import Repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = int(os.environ.get("AISTACK_BACKUP_KILLS", "3"))


def contents(host: Host, name: str = "local") -> Contents:
    return catalogue.read(host.settings.backup, name)


def record(host: Host, run: str) -> RunRecord:
    (kept,) = [k for k in contents(host).kept if k.run == run and k.part == "index"]
    text = Restic(host.settings.backup, "local").read(kept.id, f"/{RECORD}")
    return msgspec.json.decode(text, type=RunRecord)


def test_the_first_is_whole_and_the_second_holds_what_changed(host: Host) -> None:
    first, second = contents(host).physical
    assert (first.type, first.needs) == ("full", None)
    assert (second.type, second.needs) == ("incr", first.label)
    parts = sorted((k.part, k.run) for k in contents(host).kept)
    assert parts == sorted([("index", first.run), ("index", second.run), ("logical", first.run)])


def test_a_record_tells_what_every_table_held(host: Host) -> None:
    newest = record(host, contents(host).physical[-1].run or "")
    assert newest.moment.exact
    notes = {t.name: t for t in newest.moment.tables}["public.notes"]
    assert notes.rows == 2
    assert newest.backups == {"local": contents(host).physical[-1].label}
    assert set(newest.versions) == {"aistack", "postgresql", "pgbackrest", "restic"}


def test_a_run_under_load_is_exact_to_the_row(host: Host) -> None:
    """Writers go on; what is restored is what was counted, not a row more or less."""
    ending = threading.Event()
    written = [0, 0]

    def write(number: int) -> None:
        with psycopg.connect(host.dsn, autocommit=True) as connection:
            while not ending.is_set():
                connection.execute(
                    "insert into notes select max(id) + 1, 'x' from notes on conflict do nothing"
                )
                connection.execute("update notes set body = body || 'y' where id = 2")
                written[number] += 1

    writers = [threading.Thread(target=write, args=(n,)) for n in range(2)]
    for one in writers:
        one.start()
    try:
        report = host.backup()
    finally:
        ending.set()
        for one in writers:
            one.join()
    assert report.state == "ok"
    assert min(written) > 10
    found = record(host, report.id)
    assert found.moment.exact
    tables = {t.name: t for t in found.moment.tables}
    assert 2 < tables["public.notes"].rows <= host.sql("select count(*) from notes")[0][0]
    result = drill(host, run=report.id)
    assert {c.name: c.status for c in result.checks} == {
        "restore": "ok", "recovery": "ok", "amcheck": "ok", "tables": "ok",
        "logical dump": "ok", "index": "skipped",
    }  # fmt: skip
    assert result.ok
    assert result.rto_s is not None


def test_a_writer_never_loses_a_deadlock_to_a_backup(host: Host) -> None:
    """It writes the tables in the other order, and is in between when the run locks them."""
    host.sql("create table a_first (n int); create table z_last (n int)")
    with psycopg.connect(host.dsn) as writer:
        writer.execute("insert into z_last values (1)")
        run = threading.Thread(target=lambda: reports.append(host.backup()))
        reports: list[RunReport] = []
        run.start()
        locked = (
            "select count(*) from pg_locks where mode = 'ShareLock' and granted"
            " and relation = 'a_first'::regclass"
        )
        while host.sql(locked) == [(0,)]:
            time.sleep(0.01)
        writer.execute("insert into a_first values (1)")
        writer.commit()
        run.join()
    assert reports[0].state == "ok"
    tables = {t.name: t.rows for t in record(host, reports[0].id).moment.tables}
    assert (tables["public.a_first"], tables["public.z_last"]) == (1, 1)


def test_a_drill_finds_what_does_not_agree_with_the_record(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Restic.read

    def other(self: Restic, snapshot: str, file: str) -> str:
        return read(self, snapshot, file).replace('"rows": 2,', '"rows": 3,')

    monkeypatch.setattr(Restic, "read", other)
    result = drill(host)
    (tables,) = [c for c in result.checks if c.name == "tables"]
    assert tables.status == "failed"
    assert "public.notes (recorded 3 rows, found 2)" in tables.detail
    assert not result.ok


def test_nothing_of_a_drill_stays(host: Host) -> None:
    drill(host)
    assert not (Path(host.settings.backup.state_dir) / "drill").exists()
    assert not list(Path(tempfile.gettempdir()).glob("aistack-drill-*"))
    assert host.sql("select ok from backup_drills") == [(True,)]


def test_what_is_stored_is_ciphertext(host: Host) -> None:
    files = [p for p in (host.home / "local").rglob("*") if p.is_file()]
    assert len(files) > 10
    # WAL and pages are compressed before: the words are looked for in what is not, too.
    for needle in (PLAINTEXT, "public.notes", "aistack-20"):
        holders = [p for p in files if needle.encode() in p.read_bytes()]
        assert not holders, needle


def test_no_secret_is_ever_an_argument(host: Host) -> None:
    seen: set[bytes] = set()
    child = subprocess.Popen(
        host.command("backup", "run"), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while child.poll() is None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen.add((process / "cmdline").read_bytes())
            except OSError:
                continue
        time.sleep(0.01)
    assert child.returncode == 0
    assert any(b"pgbackrest" in line for line in seen)
    assert any(b"restic" in line for line in seen)
    assert not [line for line in seen if KEY.encode() in line]


def test_one_repository_that_is_away_does_not_keep_the_other_from_having_its_backup(
    host: Host,
) -> None:
    blocked = host.home / "blocked"
    blocked.write_text("a file, no folder")
    host.repositories["second"] = Repository(path=str(blocked / "repository"))
    report = host.backup()
    states = {(o.repository, o.part): o.state for o in report.outcomes}
    assert states[("local", "postgresql")] == "ok"
    assert states[("second", "postgresql")] == "failed"
    assert report.state == "partial"
    assert drill(host, run=report.id).ok


def test_a_repository_that_is_away_does_not_hold_up_the_wal_of_another(
    origin: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL asks for one segment for ever; the repository that has it is given the newest."""
    program = tmp_path / "pgbackrest"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$PGBACKREST_REPO1_PATH $3" >> {tmp_path}/calls\n'
        "case $PGBACKREST_REPO1_PATH in *away*) exit 82 ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    status = tmp_path / "pg_wal" / "archive_status"
    status.mkdir(parents=True)
    for number in (8, 9, 10):
        (status / f"{number:024X}.ready").touch()
    monkeypatch.chdir(tmp_path)
    own = msgspec.structs.replace(
        origin.settings.backup,
        repositories={"near": Repository(path="/near"), "away": Repository(path="/away")},
    )
    assert not PgBackRest(own).push(f"pg_wal/{8:024X}")
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert sorted(calls[:2]) == [
        ["/away/pgbackrest", f"pg_wal/{8:024X}"], ["/near/pgbackrest", f"pg_wal/{8:024X}"],
    ]  # fmt: skip
    assert calls[2:] == [["/near/pgbackrest", f"pg_wal/{10:024X}"]]
    own.repositories["away"] = Repository(
        kind="s3", path="/x", host="h", bucket="b", key_id_file="/none", key_secret_file="/none"
    )
    assert not PgBackRest(own).push(f"pg_wal/{9:024X}"), "nor does one without its secret"
    assert ["/near/pgbackrest", f"pg_wal/{9:024X}"] in [
        line.split() for line in (tmp_path / "calls").read_text().splitlines()
    ]
    del own.repositories["away"]
    assert PgBackRest(own).push(f"pg_wal/{8:024X}")


def test_a_second_repository_gets_everything(host: Host) -> None:
    host.repositories["second"] = Repository(path=str(host.home / "second"))
    host.prepare()
    report = host.backup()
    assert report.state == "ok", report.outcomes
    (copy,) = contents(host, "second").physical
    assert copy.type == "full"
    assert drill(host, "second").ok


def test_a_repository_of_another_cluster_is_refused(host: Host, tmp_path: Path) -> None:
    home = tmp_path / "other"
    home.mkdir()
    other = Host(home, {"local": host.repositories["local"]})
    other.start()
    try:
        other.prepare()
        other.archive()
        anyio.run(migrate, other.dsn)
        report = other.backup()
        assert report.state == "failed"
        assert "another PostgreSQL cluster" in (report.outcomes[0].error or "")
    finally:
        other.stop()


def test_wal_that_does_not_arrive_fails_the_run_and_says_why(host: Host) -> None:
    host.sql("alter system set archive_command = 'false # pgbackrest'")
    host.sql("select pg_reload_conf()")
    host.archive_timeout_s = 1
    before = host.sql("select count(*) from backup_runs where state = 'ok'")
    report = host.backup()
    assert report.state == "failed"
    assert not report.restorable
    assert host.sql("select count(*) from backup_runs where state = 'ok'") == before
    (said,) = [o.error for o in report.outcomes if o.part == "postgresql"]
    assert "WAL" in (said or "")


def test_two_jobs_at_once_are_one(host: Host) -> None:
    folder = host.settings.backup.state_dir
    with alone(folder), pytest.raises(ConflictError), alone(folder):
        pass
    with alone(folder):
        done = subprocess.run(
            host.command("backup", "run"), capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert "another backup" in done.stderr


@pytest.mark.parametrize("number", range(KILLS))
def test_after_a_kill_at_any_moment_the_next_run_is_whole(
    origin: Host, host: Host, number: int
) -> None:
    before = {one.label for one in contents(host).physical}
    child = subprocess.Popen(
        host.command("backup", "run"), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # Anywhere in its part of a run; a second more for the start of Python, and for expiry.
    part = (number + random.Random(number).random()) / KILLS  # noqa: S311 - repeatable
    time.sleep(part * (origin.run_s + 1))
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    report = host.backup()
    assert report.state == "ok", report.outcomes
    assert before < {one.label for one in contents(host).physical}
    assert drill(host, run=report.id).ok
    assert not list((Path(host.settings.backup.state_dir) / "staging").iterdir())
    unfinished = host.sql("select count(*) from backup_runs where state is null")
    assert unfinished == [(0,)]


def test_without_room_for_the_record_postgresql_is_safe_all_the_same(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "RECORD", "no-such-folder/run.json")
    report = host.backup()
    states = {one.part: (one.state, one.error or "") for one in report.outcomes}
    assert report.state == "partial"
    assert states["postgresql"][0] == "ok"
    assert "(backup.state_dir): No such file" in states["index"][1]
    monkeypatch.undo()
    assert report.id not in {kept.run for kept in contents(host).kept}, "none without its record"
    assert drill(host).ok, "of the run before"


def test_a_table_that_is_dropped_meanwhile_fails_no_run(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.sql("create table passing (id int)")
    still = moment._still

    async def later(*words: Any) -> Any:
        host.sql("drop table if exists passing")
        return await still(*words)

    monkeypatch.setattr(moment, "_still", later)
    assert host.backup().state == "ok"
    (names,) = host.sql("select record #>> '{moment,tables}' from backup_runs order by id desc")[0]
    assert "public.notes" in str(names)
    assert "passing" not in str(names)


def test_metrics_tell_what_was_safe_when(host: Host) -> None:
    async def text() -> str:
        async with administrator(host.settings) as postgres:
            await Memory(postgres).verified("local", ok=True)
            return (await BackupMetrics(host.settings.backup, postgres).render()).decode()

    found = anyio.run(text)
    values = dict(line.rsplit(" ", 1) for line in found.splitlines() if not line.startswith("#"))
    (started,) = host.sql("select extract(epoch from max(started_at)) from backup_runs")[0]
    assert float(values["postgres_backup_last_success_timestamp"]) >= float(started)
    assert values['postgres_backup_status{repository="local"}'] == "1.0"
    assert values['qdrant_backup_status{repository="local"}'] == "1.0"
    assert float(values['aistack_backup_repository_free_bytes{repository="local"}']) > 0
    assert float(values['aistack_backup_verified_timestamp{repository="local"}']) > 0
    assert float(values["aistack_wal_archive_lag_seconds"]) >= 0
    assert values["aistack_backup_drill_last_success_timestamp"] == "0.0"
