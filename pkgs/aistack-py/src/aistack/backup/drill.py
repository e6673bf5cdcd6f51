"""A drill: restores a run into scratch servers and compares it with what was recorded then.

Nothing of the running stack is touched. Whatever it finds, it cleans up after itself.
"""

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import msgspec
import psycopg
from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from aistack.backup import catalogue, index, moment, scratch, target
from aistack.backup.model import Contents, Kept, Physical, RunRecord
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.run import DUMP
from aistack.backup.store import Memory
from aistack.errors import AistackError, NotFoundError, UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.programs import find_binaries
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.snapshots import Snapshots

log = logging.getLogger(__name__)

_HOUR_S = 3600
_ROOM = 1.1
_QDRANT_S = 60.0


class Check(Struct, frozen=True):
    """One thing that a drill looked at."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    seconds: float
    detail: str = ""


class DrillReport(Struct, frozen=True, kw_only=True):
    """How a drill went."""

    repository: str
    run: str
    backup: str
    started_at: datetime
    ok: bool
    rto_s: float | None
    """Seconds until the restored PostgreSQL answered."""
    rpo_s: float | None
    """Seconds of writes that were not safe when the drill began."""
    bytes: int
    """Size of the restored cluster."""
    checks: list[Check]


class Drill:
    """One drill; its caller holds the lock.

    Args:
        settings: the whole configuration.
        postgres: the database, as its superuser; open. It is only asked and told, never touched.
        say: told what happens.
    """

    def __init__(
        self, settings: Settings, postgres: Postgres, say: Callable[[str], None] = log.info
    ) -> None:
        self._settings = settings
        self._own = settings.backup
        self._memory = Memory(postgres)
        self._say = say
        self._checks: list[Check] = []
        self._rto_s: float | None = None

    async def run(self, repository: str, run: str | None = None) -> DrillReport:
        """Restore one run, the newest if none is named.

        Raises:
            NotFoundError: the repository has no such run.
            UnavailableError: it cannot be read, or there is no room for a restore.
        """
        started_at = datetime.now(UTC)
        found = await asyncio.to_thread(catalogue.read, self._own, repository)
        backup, kept = _newest(found, run)
        record = await asyncio.to_thread(catalogue.record, self._own, repository, kept)
        folder = Path(self._own.state_dir) / "drill"
        rpo_s = await self._memory.exposed_s()
        _clear(folder)
        _room(folder.parent, backup, record)
        folder.mkdir(mode=0o700)
        process.give(folder, process.owner(Path(self._own.data_dir)))
        try:
            await self._all(found, backup, record, kept, folder)
        finally:
            _clear(folder)
        report = DrillReport(
            repository=repository,
            run=record.id,
            backup=backup.label,
            started_at=started_at,
            ok=all(one.status != "failed" for one in self._checks),
            rto_s=self._rto_s,
            rpo_s=rpo_s,
            bytes=backup.bytes,
            checks=self._checks,
        )
        await self._memory.drilled(
            repository, record.id, started_at, ok=report.ok, rto_s=report.rto_s, rpo_s=rpo_s,
            report=msgspec.to_builtins(report),
        )  # fmt: skip
        return report

    async def _all(
        self, found: Contents, backup: Physical, record: RunRecord, kept: Kept, folder: Path
    ) -> None:
        data = folder / "data"
        backrest = PgBackRest(self._own, data)
        start = perf_counter()
        wanted_run = target.Target(run=record.id)
        choice = await asyncio.to_thread(catalogue.choose, self._own, wanted_run, [found])

        async def restore() -> str:
            wanted = [*choice.arguments, f"--recovery-option=restore_command={scratch.FETCH}"]
            await asyncio.to_thread(
                backrest.restore, found.repository, backup.label, wanted, archiving=False
            )
            return f"{backup.bytes / 2**20:.1f} MiB"

        if not await self._check("restore", restore):
            return
        server = scratch.postgres(data, self._own.dsn, backrest.environment(found.repository))
        try:
            dsn = await asyncio.to_thread(server.__enter__)
        except AistackError as exc:
            self._note("recovery", "failed", start, exc.detail)
            return
        try:
            self._rto_s = round(perf_counter() - start, 2)
            where = "the end of the backup" if choice.at_end else record.moment.name
            self._note("recovery", "ok", start, f"to {where}")
            # All at once: the dump goes into a database of its own.
            async with asyncio.TaskGroup() as looks:
                looks.create_task(self._check("amcheck", lambda: self._amcheck(dsn)))
                looks.create_task(self._check("tables", lambda: _tables(dsn, record, choice)))
                looks.create_task(self._check("logical dump", lambda: self._dump(found, dsn)))
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
        await self._check("index", lambda: self._index(found.repository, kept, record, folder))

    async def _check(self, name: str, look: Callable[[], Awaitable[str]]) -> bool:
        self._say(name)
        start = perf_counter()
        try:
            self._note(name, "ok", start, await look())
        except _SkippedError as exc:
            self._note(name, "skipped", start, exc.detail)
        except AistackError as exc:
            self._note(name, "failed", start, exc.detail)
            return False
        except (psycopg.Error, OSError) as exc:
            self._note(name, "failed", start, f"{type(exc).__name__}: {exc}"[:500])
            return False
        return True

    def _note(
        self, name: str, status: Literal["ok", "failed", "skipped"], start: float, detail: str
    ) -> None:
        if status != "ok":
            log.warning("drill: %s %s: %s", name, status, detail)
        self._checks.append(Check(name, status, round(perf_counter() - start, 2), detail))

    async def _amcheck(self, dsn: str) -> str:
        parts = psycopg.conninfo.conninfo_to_dict(dsn)
        program = find_binaries() / "pg_amcheck"
        await asyncio.to_thread(
            process.run,
            [program, "--install-missing", f"--jobs={process.cores()}", "-h", str(parts["host"]),
             "-U", str(parts["user"]), "-d", str(parts["dbname"])],
            _HOUR_S,
        )  # fmt: skip
        return "every table and B-tree is sound"

    async def _dump(self, found: Contents, dsn: str) -> str:
        """The newest logical dump, loaded beside the restored database."""
        dumps = [one for one in found.kept if one.part == "logical"]
        if not dumps:
            raise _SkippedError("there is none yet")
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute("create database aistack_drill template template0")
            await _compress_fast(connection, "aistack_drill")
        other = make_conninfo(dsn, dbname="aistack_drill")
        # In one transaction the server needs no WAL for the rows of tables that it makes.
        line: process.Command = [
            find_binaries() / "pg_restore", "--single-transaction", f"--dbname={other}",
        ]  # fmt: skip
        restic = Restic(self._own, found.repository)
        await asyncio.to_thread(restic.pour, dumps[-1].id, f"/{DUMP}", line)
        async with await AsyncConnection.connect(
            other, autocommit=True, row_factory=dict_row
        ) as connection:
            counts = await moment.counts(connection)
        # Digests would be of no use: the dump is of its own moment, which has no record.
        return f"of {dumps[-1].at:%F %T}: {len(counts)} tables, {sum(counts.values())} rows"

    async def _index(self, repository: str, kept: Kept, record: RunRecord, folder: Path) -> str:
        if not record.collections:
            raise _SkippedError("the run has no index: it is built anew from PostgreSQL")
        program = shutil.which("qdrant")
        if program is None:
            raise _SkippedError("no program qdrant is on PATH to load the snapshots into")
        files = folder / "index"
        await asyncio.to_thread(Restic(self._own, repository).restore, kept.id, files)
        server = scratch.qdrant(program, folder / "qdrant", _QDRANT_S)
        settings = await asyncio.to_thread(server.__enter__)
        try:
            own = msgspec.structs.replace(settings, prefix=self._settings.qdrant.prefix)
            async with Snapshots.open(own) as snapshots:
                await index.restore(snapshots, record.collections, files)
                wrong = await index.compare(snapshots, record.collections)
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
        if wrong:
            raise UnavailableError("; ".join(wrong[:5]))
        points = sum(one.points for one in record.collections)
        return f"{len(record.collections)} collections, {points} points, searches as recorded"


async def _compress_fast(connection: AsyncConnection, database: str) -> None:
    """Have what is loaded compressed by LZ4 where the server has it: with pglz it takes longer."""
    known = "select enumvals from pg_settings where name = 'default_toast_compression'"
    (methods,) = await (await connection.execute(known)).fetchone() or ([],)
    if "lz4" in methods:
        name = sql.Identifier(database)
        change = sql.SQL("alter database {} set default_toast_compression = 'lz4'")
        await connection.execute(change.format(name))


class _SkippedError(AistackError):
    """There is nothing to look at."""


def _newest(found: Contents, run: str | None) -> tuple[Physical, Kept]:
    runs = {one.run: one for one in found.kept if one.part == "index"}
    fit = [
        (one, runs[one.run])
        for one in found.physical
        if not one.error and one.run is not None and one.run in runs and run in {None, one.run}
    ]
    if not fit:
        what = f"run {run}" if run else "run that is whole"
        raise NotFoundError(f"repository {found.repository} has no {what}: aistack backup list")
    return fit[-1]


async def _tables(dsn: str, record: RunRecord, choice: target.Choice) -> str:
    async with await AsyncConnection.connect(
        dsn, autocommit=True, row_factory=dict_row
    ) as connection:
        found = {one.name: one for one in await moment.states(connection)}
    wanted = record.moment.tables
    if choice.at_end or not record.moment.exact:
        lost = [one.name for one in wanted if one.name not in found]
        if lost:
            raise UnavailableError(f"tables are missing: {', '.join(lost[:5])}")
        return f"{len(found)} tables, not to be compared: there is no exact record of this moment"
    wrong = [
        f"{one.name} (recorded {one.rows} rows, found"
        f" {found[one.name].rows if one.name in found else 'no table'})"
        for one in wanted
        if found.get(one.name) != one
    ]
    if wrong:
        raise UnavailableError(f"the restored tables differ: {', '.join(wrong[:5])}")
    return f"{len(wanted)} tables, {_rows(wanted)} rows, all digests as recorded"


def _rows(tables: list[Any]) -> int:
    return sum(one.rows for one in tables)


def _clear(folder: Path) -> None:
    """What a killed drill left, its server included."""
    cluster = Cluster(folder / "data")
    if (cluster.data / "postmaster.pid").exists():
        try:
            cluster.stop("immediate")
        except UnavailableError:
            log.info("the scratch server of a killed drill is gone already")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(f"{folder / 'data'}.tablespaces", ignore_errors=True)


def _room(place: Path, backup: Physical, record: RunRecord) -> None:
    needed = int(_ROOM * (backup.bytes + 2 * sum(one.bytes for one in record.collections)))
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UnavailableError(
            f"a drill needs {needed / 2**30:.1f} GiB in {place} (backup.state_dir), and"
            f" {free / 2**30:.1f} GiB are free"
        )
