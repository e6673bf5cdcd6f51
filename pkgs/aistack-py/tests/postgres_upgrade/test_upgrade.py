"""From one real major version to the next: what is there afterwards, and what is put back."""

import shutil
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest
from two_majors import Machine

from aistack.errors import ConfigError, ConflictError, NotFoundError, UnavailableError
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.private import serving
from aistack.postgres_upgrade import carry, picture
from aistack.postgres_upgrade.model import Plan
from aistack.postgres_upgrade.picture import Database, Origin, Picture
from aistack.postgres_upgrade.plan import clusters, newer
from aistack.postgres_upgrade.upgrader import Upgrader

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(600)]


def checksum(machine: Machine) -> object:
    """Of what the tests wrote, by PostgreSQL's own sums: not by ours."""
    ((sum_,),) = machine.sql("select sum(hashtext(l::text)) from ledger l", "other")
    return sum_


def settled(machine: Machine) -> bool:
    """Whether nothing is half done."""
    names = {path.name.split(".")[0] for path in (machine.home / "pg").iterdir()}
    beside = [path.name for path in (machine.home / "pg").iterdir() if "ing" in path.suffix]
    return beside == [] and names <= {machine.old.data.name, machine.new.data.name}


@pytest.mark.parametrize("method", ["pg_upgrade", "dump"])
async def test_everything_comes_along(machine: Machine, method: str) -> None:
    machine.start(machine.old)
    before = checksum(machine)
    # As where the C library and an extension were older when the database was made.
    machine.sql("update pg_database set datcollversion = '1' where datname = 'other'", "other")
    machine.sql("create extension vector", "other")
    machine.sql("update pg_extension set extversion = '0' where extname = 'vector'", "other")
    # A server that was killed, too, is carried over: its WAL is recovered first.
    machine.sql("update ledger set ratio = 0 where id = 1; checkpoint", "other")
    machine.sql("update ledger set ratio = 1 / 7.0 where id = 1", "other")
    machine.old.run("pg_ctl", "-w", "-D", machine.old.data, "stop", "-m", "immediate")

    done = await machine.upgrader().run(machine.plan(method=method))
    assert (done.state, done.from_version, done.to_version) == (
        "verified", machine.old.major, machine.new.major,
    )  # fmt: skip
    assert machine.sql("show server_version")[0][0].startswith(machine.new.major)  # type: ignore[attr-defined]
    assert checksum(machine) == before
    assert machine.sql("select ok from job_totals") == [(7,)]
    # What an identity gives next was given to nobody.
    ((new,),) = machine.sql("insert into ledger (what) values ('{}') returning id", "other")
    assert new == 5001
    assert machine.sql(
        "select rolpassword is not null from pg_authid where rolname = 'reader'"
    ) == [(True,)]
    assert machine.sql("select has_table_privilege('reader', 'ledger', 'select')", "other") == [
        (True,)
    ]
    ((statistics,),) = machine.sql(
        "select count(*) from pg_stats where tablename = 'ledger'", "other"
    )
    assert statistics
    # What is written anew is in order.
    older = (
        "other: alter extension vector update",
        "other: reindex database other; alter database other refresh collation version",
    )
    assert done.left == (older if method == "pg_upgrade" else ())
    # As the older one was made.
    assert machine.sql("show data_checksums") == [("on",)]
    assert machine.sql("show wal_segment_size") == [("4MB",)]
    assert settled(machine)

    kept = machine.new.data.with_name(done.kept)
    assert not machine.old.data.exists()
    machine.stop()
    kept.rename(machine.old.data)
    machine.start(machine.old)
    assert checksum(machine) == before


async def test_links_are_quick_and_take_the_way_back(machine: Machine) -> None:
    machine.start(machine.old)
    before = checksum(machine)
    machine.stop()
    done = await machine.upgrader().run(machine.plan(transfer="link"))
    assert checksum(machine) == before
    kept = machine.new.data.with_name(done.kept)
    assert not (kept / "global" / "pg_control").exists()


async def test_what_is_not_the_same_is_put_back(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried = Upgrader._carry

    def loses(self: Upgrader, plan: Plan, like: Origin, before: Picture) -> None:
        carried(self, plan, like, before)
        with serving(self._staged, {}, machine.dsn("other")) as dsn:
            self._staged.run("psql", "-Xqc", "delete from ledger where id = 77", f"--dbname={dsn}")

    monkeypatch.setattr(Upgrader, "_carry", loses)
    said = r"not the same as before: table other\.public\.ledger \(5000 rows before, 4999 now\);"
    with pytest.raises(UnavailableError, match=f"{said} the older cluster is as it was"):
        await machine.upgrader().run(machine.plan())
    assert settled(machine)
    assert not machine.new.data.exists()
    machine.start(machine.old)
    assert machine.sql("select count(*) from ledger", "other") == [(5000,)]


async def test_a_newer_server_that_does_not_come_up_leaves_the_older_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.preload = "no_such_library"
    with pytest.raises(UnavailableError, match=r"no_such_library.*the older cluster is as it was"):
        await machine.upgrader().run(machine.plan())
    machine.preload = ""
    # Here it is proved, and its unit fails.
    monkeypatch.setattr(Machine, "start_server", lambda _: None)
    monkeypatch.setattr("aistack.postgres_upgrade.upgrader._START_S", 1)
    with pytest.raises(UnavailableError, match=r"does not answer.*the older cluster is as it was"):
        await machine.upgrader().run(machine.plan())
    assert len(list((machine.home / "pg").glob(f"{machine.new.data.name}.failed-*"))) == 1
    machine.start(machine.old)
    assert machine.sql("select count(*) from ledger", "other") == [(5000,)]


async def test_wal_of_meanwhile_waits_for_its_archive(machine: Machine) -> None:
    with serving(machine.old, carry.QUIET, machine.dsn()) as dsn:
        some = "select pg_create_restore_point('here'); select pg_switch_wal()"
        machine.old.run("psql", "-Xqc", some, f"--dbname={dsn}")
    assert list((machine.old.data / "pg_wal" / "archive_status").glob("*.ready"))


async def test_what_pg_upgrade_refuses_is_told_before_anything_is_done(machine: Machine) -> None:
    machine.start(machine.old)
    before, since = checksum(machine), machine.sql("select pg_postmaster_start_time()")
    machine.sql("alter database other allow_connections false", "postgres")
    # The server runs meanwhile.
    with pytest.raises(UnavailableError, match="other"):
        machine.upgrader().look(machine.plan(live=True))
    machine.sql("alter database other allow_connections true", "postgres")
    machine.upgrader().look(machine.plan(live=True))
    assert machine.sql("select pg_postmaster_start_time()") == since
    assert checksum(machine) == before
    assert list((machine.home / "pg").iterdir()) == [machine.old.data]


async def test_what_is_in_the_way_is_told_with_what_mends_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.plan().faults == []
    machine.start(machine.old)
    assert machine.plan(live=True).faults == []
    (fault,) = machine.plan().faults
    assert "still runs" in fault
    monkeypatch.setattr(machine, "stop", lambda: None)
    with pytest.raises(ConflictError, match="still runs"):
        await machine.upgrader().run(machine.plan())
    monkeypatch.undo()
    machine.stop()

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 300 * 2**20))
    assert "use --transfer link" in machine.plan().faults[0]
    assert machine.plan(transfer="link").faults == []
    monkeypatch.undo()

    monkeypatch.setattr(Path, "is_mount", lambda path: path == machine.old.data)
    (fault,) = machine.plan().faults
    assert f"mount its file system on {machine.home / 'pg'} instead" in fault
    monkeypatch.undo()

    machine.new.data.mkdir()
    assert machine.plan().faults == []  # its unit leaves an empty folder
    (machine.new.data / "x").touch()
    assert "is not empty" in machine.plan().faults[0]
    (machine.new.data / "PG_VERSION").write_text(machine.new.major)
    assert "has a cluster already" in machine.plan().faults[0]
    shutil.rmtree(machine.new.data)

    (machine.old.data / "pg_tblspc" / "1").symlink_to(machine.home)
    assert "tablespaces" in machine.plan(backup="no backup").faults[0]
    assert machine.plan(backup="no backup").faults[1] == "no backup"


async def test_versions_that_do_not_fit_are_told(machine: Machine) -> None:
    own = machine.settings
    assert [one.data for one in clusters(own)] == [machine.old.data, machine.new.data]
    backwards = type(own)(
        from_programs=own.programs, from_data_dir=own.data_dir,
        programs=own.from_programs, data_dir=own.from_data_dir,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="is not older"):
        clusters(backwards)
    with pytest.raises(ConfigError, match=r"services\.aistack\.postgresql\.upgradeFrom"):
        clusters(type(own)())
    with pytest.raises(ConfigError, match=r"postgres_upgrade\.data_dir"):
        newer(type(own)())
    elsewhere = msgspec.structs.replace(own, data_dir="/elsewhere/99")
    with pytest.raises(ConfigError, match="do not lie in one folder"):
        clusters(elsewhere)
    machine.old = Cluster(machine.old.data, machine.new.programs)
    with pytest.raises(ConfigError, match=f"set it to {machine.old.version}"):
        machine.plan()
    machine.old = Cluster(machine.home / "nowhere", machine.new.programs)
    with pytest.raises(NotFoundError):
        machine.plan()


async def test_every_difference_counts() -> None:
    def of(rows: int, digest: str, last: int) -> Picture:
        table = picture.TableState("public.t", rows, digest)
        return Picture(["a 1"], [Database("d", [table], {"public.s": last})])

    same = of(1, "x", 1)
    assert picture.differences(same, of(1, "x", 1)) == []
    assert picture.differences(same, of(1, "y", 1)) == ["table d.public.t (1 rows before, 1 now)"]
    assert picture.differences(same, of(1, "x", 2)) == ["sequences of d"]
    assert picture.differences(same, Picture(["a 2"], same.databases)) == ["role a"]
    assert picture.differences(same, Picture(["a 1"], [])) == ["database d"]
    assert picture.differences(same, Picture(["a 1"], [Database("d", [], {"public.s": 1})])) == [
        "table d.public.t (1 rows before, none now)"
    ]
