"""What tests of restores share: a server to stop and start, and what a restored one holds."""

import time
from datetime import datetime
from pathlib import Path

import anyio
import psycopg
from backup_host import Host

from aistack.backup import catalogue, scratch
from aistack.backup.drill import Drill, DrillReport
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restore import Restorer
from aistack.backup.target import Choice, Target
from aistack.cli.backup.database import administrator
from aistack.errors import UnavailableError


class Switch:
    """The server of a test instead of a host's units."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.users = True

    def stop(self) -> None:
        self.users = False
        self._host.stop()

    def start_server(self) -> None:
        # On NixOS it would not start.
        assert not under_way(self._host).exists()
        # A server that recovers is not waited for, as with systemctl --no-block.
        try:
            self._host.start()
        except UnavailableError:
            self._host.server.stop()

    def start_users(self) -> None:
        self.users = True


def under_way(host: Host) -> Path:
    """What says that the database is being replaced."""
    data = Path(host.settings.backup.data_dir)
    return data.with_name(f"{data.name}.restoring")


def choice(host: Host, wanted: Target, repository: str = "local") -> Choice:
    own = host.settings.backup
    return catalogue.choose(own, wanted, [catalogue.read(own, repository)])


def now(host: Host) -> datetime:
    found = host.sql("select clock_timestamp()")[0][0]
    assert isinstance(found, datetime)
    return found


def note(host: Host, number: int) -> None:
    host.sql("insert into notes values (%s, 'written later')", number)


def save(host: Host) -> None:
    """What was written so far reaches the repository."""
    (name,) = host.sql("select pg_walfile_name(pg_switch_wal())")[0]
    backrest = PgBackRest(host.settings.backup)
    until = time.monotonic() + 20
    while (backrest.contents("local").last_wal or "") < str(name):
        assert time.monotonic() < until
        time.sleep(0.1)


def notes(host: Host, wanted: Target, folder: Path, repository: str = "local") -> list[int]:
    """The numbers of the notes at a moment, by a restore into a folder."""
    own = host.settings.backup
    found = choice(host, wanted, repository)
    restorer = Restorer(own, Switch(host))
    restorer.into(found, folder, "postgresql")
    data = folder / "postgresql"
    environment = PgBackRest(own, data).environment()
    with scratch.postgres(data, own.dsn, environment) as dsn, psycopg.connect(dsn) as connection:
        rows = connection.execute("select id from notes order by id").fetchall()
    return [row[0] for row in rows]


def drill(host: Host, name: str = "local", run: str | None = None) -> DrillReport:
    """A trial restore."""

    async def go() -> DrillReport:
        async with administrator(host.settings) as postgres:
            return await Drill(host.settings, postgres).run(name, run)

    return anyio.run(go)
