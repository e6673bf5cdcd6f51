"""One run: PostgreSQL and the index, bound to one moment, in every repository.

Killed at any point, the next run clears what was left and does it again. A repository that cannot
be reached does not keep the others from having theirs.
"""

import asyncio
import contextlib
import logging
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Literal

import msgspec

from aistack import __version__
from aistack.backup import catalogue, index, moment, places
from aistack.backup.model import (
    CollectionState,
    Contents,
    Outcome,
    RunRecord,
    RunReport,
    State,
    Type,
    run_id,
)
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.store import Memory
from aistack.errors import AistackError, ConfigError, UnavailableError
from aistack.kit import process
from aistack.postgres_server.programs import find_binaries
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.snapshots import Snapshots

log = logging.getLogger(__name__)

Kind = Literal["auto", "full", "diff", "incr", "logical"]
DUMP = "database.dump"
_GLOBALS_S = 600
_LOOK_S = 0.2
_SYSTEM = Path("/nix/var/nix/profiles/system")


class Runner:
    """Makes runs; its caller holds the lock.

    Args:
        settings: the whole configuration.
        postgres: the database, as its superuser; open.
        say: told what happens, for a person who watches.
    """

    def __init__(
        self, settings: Settings, postgres: Postgres, say: Callable[[str], None] = log.info
    ) -> None:
        self._settings = settings
        self._own = settings.backup
        self._postgres = postgres
        self._memory = Memory(postgres)
        self._backrest = PgBackRest(self._own)
        self._say = say
        self._outcomes: list[Outcome] = []

    async def run(self, kind: Kind = "auto") -> RunReport:
        """Make one run.

        Args:
            kind: of the physical backup; ``auto``: by what each repository has. ``logical``: as
                auto, and a logical dump whether it is due or not.

        Raises:
            ConfigError: there is no repository or no key, or one is of another cluster.
            UnavailableError: PostgreSQL does not answer.
        """
        if not self._own.repositories:
            raise ConfigError("backup.repositories is empty: there is nowhere to put a backup")
        places.key(self._own)
        started_at = datetime.now(UTC)
        name = run_id(started_at, secrets.token_hex(2))
        folder = Path(self._own.state_dir) / "staging" / name
        await self._clear(folder.parent)
        with _writing(folder):
            folder.mkdir(mode=0o700, parents=True)
        try:
            return await self._run(kind, name, started_at, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _run(self, kind: Kind, name: str, started_at: datetime, folder: Path) -> RunReport:
        names = list(self._own.repositories)
        # At once: one that is away is waited for while the others get ready.
        ready = await asyncio.gather(*(self._prepare(one) for one in names))
        contents = dict(zip(names, ready, strict=True))
        types = {one: self._type(kind, found, started_at) for one, found in contents.items()}
        # The same word for all in the ledger; each repository may need another.
        told: Type = "full" if "full" in types.values() else next(iter(types.values()))
        await self._memory.begin(name, told, started_at)
        labels: dict[str, str] = {}
        for one, wanted in types.items():
            label = await self._physical(one, wanted, name)
            if label is not None:
                labels[one] = label
        record: RunRecord | None = None
        if labels:
            record = await self._bind(name, started_at, labels, folder)
        if record is not None:
            await self._keep(record, folder, contents, kind == "logical")
        for one, where in self._own.repositories.items():
            free = await asyncio.to_thread(places.free_bytes, where)
            await self._memory.space(one, free)
        report = RunReport(
            id=name,
            type=told,
            state=_state(self._outcomes),
            started_at=started_at,
            finished_at=datetime.now(UTC),
            outcomes=self._outcomes,
            restorable=record is not None,
        )
        await self._memory.end(report, record)
        return report

    async def _clear(self, staging: Path) -> None:
        """What killed runs left: here, and on the Qdrant server."""
        for left in sorted(staging.glob("*")):
            if self._settings.qdrant.url is not None:
                try:
                    async with Snapshots.open(self._settings.qdrant) as snapshots:
                        await index.clear(snapshots, left)
                except AistackError as exc:
                    log.warning("snapshots of a killed run may be left on Qdrant: %s", exc.detail)
            shutil.rmtree(left, ignore_errors=True)

    async def _prepare(self, repository: str) -> Contents | None:
        """Make ready what is missing in a repository; None where it cannot be reached."""
        try:
            restic = Restic(self._own, repository)
            if self._own.repositories[repository].kind == "directory":
                await asyncio.to_thread(_make_folder, self._own.repositories[repository].path)
            await asyncio.to_thread(restic.create)
            await asyncio.to_thread(self._backrest.create_stanza, repository)
            return await asyncio.to_thread(catalogue.read, self._own, repository)
        except AistackError as exc:
            self._failed(repository, "postgresql", exc, 0)
            self._failed(repository, "index", exc, 0)
            return None

    def _type(self, kind: Kind, found: Contents | None, now: datetime) -> Type:
        if kind not in {"auto", "logical"}:
            wanted: Type = msgspec.convert(kind, Type)
            return wanted
        since = now - timedelta(days=self._own.full_days) + timedelta(hours=1)
        whole = [
            one
            for one in (found.physical if found else [])
            if one.type == "full" and not one.error and one.started_at > since
        ]
        return "incr" if whole else "full"

    async def _physical(self, repository: str, kind: Type, run: str) -> str | None:
        """The label of a new physical backup; None: it failed, or the repository is away."""
        if any(o.repository == repository and o.state == "failed" for o in self._outcomes):
            return None
        self._say(f"{repository}: PostgreSQL, {kind}")
        start = perf_counter()
        try:
            await asyncio.to_thread(self._backrest.backup, repository, kind, run)
            found = await asyncio.to_thread(self._backrest.contents, repository)
            made = next((one for one in found.physical if one.run == run), None)
            if made is None:
                raise UnavailableError("pgBackRest made a backup and does not list it")
        except AistackError as exc:
            self._failed(repository, "postgresql", exc, perf_counter() - start)
            return None
        error = "pages with wrong checksums were found" if made.error else None
        self._outcomes.append(
            Outcome(
                repository, "postgresql", "failed" if error else "ok", made.label,
                made.added_bytes, round(perf_counter() - start, 2), error,
            )
        )  # fmt: skip
        return made.label

    async def _bind(
        self, name: str, started_at: datetime, labels: dict[str, str], folder: Path
    ) -> RunRecord | None:
        """The run's moment, and the index as it is then."""
        self._say("restore point, counts and digests")
        start = perf_counter()
        try:
            at, segment = await moment.mark(self._postgres, f"aistack-{name}")
        except AistackError as exc:
            for one in labels:
                self._failed(one, "postgresql", exc, perf_counter() - start)
            return None
        safe = {one for one in labels if await self._arrived(one, segment, start)}
        if not safe:
            return None
        collections, aliases, versions = await self._index(folder)
        return RunRecord(
            id=name,
            host=socket.gethostname(),
            started_at=started_at,
            generation=_generation(),
            versions=versions | await self._versions(),
            moment=at,
            collections=collections,
            aliases=aliases,
            backups={one: label for one, label in labels.items() if one in safe},
        )

    async def _arrived(self, repository: str, segment: str, start: float) -> bool:
        """Wait for a WAL segment, without which the restore point cannot be reached."""
        until = time.monotonic() + self._own.archive_timeout_s
        while True:
            try:
                found = await asyncio.to_thread(self._backrest.contents, repository)
                if (found.last_wal or "") >= segment:
                    return True
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"WAL segment {segment} did not arrive within"
                        f" {self._own.archive_timeout_s} s (backup.archive_timeout_s);"
                        " PostgreSQL's log has the reason"
                    )
            except AistackError as exc:
                self._failed(repository, "postgresql", exc, perf_counter() - start)
                return False
            await asyncio.sleep(_LOOK_S)

    async def _index(
        self, folder: Path
    ) -> tuple[list[CollectionState], dict[str, str], dict[str, str]]:
        if self._settings.qdrant.path is not None:
            return [], {}, {}
        self._say("the index")
        start = perf_counter()
        try:
            async with Snapshots.open(self._settings.qdrant) as snapshots:
                version = await snapshots.version()
                with _writing(folder):
                    collections = await index.collect(snapshots, folder)
                return collections, await snapshots.aliases(), {"qdrant": version}
        except AistackError as exc:
            # PostgreSQL is the source of truth: without the index the backup is slower to restore.
            for one in self._own.repositories:
                self._failed(one, "index", exc, perf_counter() - start)
            return [], {}, {}

    async def _versions(self) -> dict[str, str]:
        rows = await self._postgres.fetch("show server_version", {})
        first = next(iter(self._own.repositories))
        return {
            "aistack": __version__,
            "postgresql": str(rows[0]["server_version"]).split()[0],
            "pgbackrest": await asyncio.to_thread(self._backrest.version),
            "restic": await asyncio.to_thread(Restic(self._own, first).version),
        }

    async def _keep(
        self,
        record: RunRecord,
        folder: Path,
        contents: dict[str, Contents | None],
        logical: bool,
    ) -> None:
        """Everything besides PostgreSQL's files, into every repository that is there."""
        recorded = await self._write(record, folder)
        dump: process.Command = [
            find_binaries() / "pg_dump", "-Fc", "-Z0", "--lock-wait-timeout=60s",
            f"--dbname={self._own.dsn}",
        ]  # fmt: skip
        for one, found in contents.items():
            if found is None:
                continue
            if recorded:
                self._say(f"{one}: the index and the record")
                await self._kept(
                    one, "index", lambda restic: restic.keep(folder, "index", record.id)
                )
            since = record.started_at - timedelta(days=self._own.logical_days)
            due = not any(k.part == "logical" and k.at > since for k in found.kept)
            if logical or due:
                self._say(f"{one}: a logical dump")
                await self._kept(
                    one, "logical", lambda restic: restic.keep_output(dump, DUMP, record.id)
                )

    async def _write(self, record: RunRecord, folder: Path) -> bool:
        """What goes beside the index; whether the record is among it: without it all is useless."""
        line: process.Command = [
            find_binaries() / "pg_dumpall",
            "--globals-only",
            f"--dbname={self._own.dsn}",
        ]
        user = process.owner(Path(self._own.data_dir))
        recorded = False
        try:
            with _writing(folder):
                (folder / catalogue.RECORD).write_bytes(_json(record))
                (folder / "settings.json").write_bytes(_json(self._settings))
                recorded = True
                roles = await asyncio.to_thread(process.run, line, _GLOBALS_S, user)
                (folder / "globals.sql").write_text(roles, "utf-8")
        except AistackError as exc:
            for one in self._own.repositories:
                self._failed(one, "index", exc, 0)
        return recorded

    async def _kept(
        self,
        repository: str,
        part: Literal["index", "logical"],
        do: Callable[[Restic], tuple[str, int]],
    ) -> None:
        start = perf_counter()
        failed_before = any(
            o.repository == repository and o.part == part and o.state == "failed"
            for o in self._outcomes
        )
        try:
            made, added = await asyncio.to_thread(do, Restic(self._own, repository))
        except AistackError as exc:
            self._failed(repository, part, exc, perf_counter() - start)
            return
        if not failed_before:  # the record is safe, but not the index that belongs to it
            seconds = round(perf_counter() - start, 2)
            self._outcomes.append(Outcome(repository, part, "ok", made, added, seconds))

    def _failed(
        self,
        repository: str,
        part: Literal["postgresql", "index", "logical"],
        exc: AistackError,
        seconds: float,
    ) -> None:
        log.error("backup of %s to %s failed: %s", part, repository, exc.detail)
        # The last word on a part counts: a backup whose restore point is not safe is none.
        self._outcomes = [o for o in self._outcomes if (o.repository, o.part) != (repository, part)]
        self._outcomes.append(
            Outcome(repository, part, "failed", None, 0, round(seconds, 2), exc.detail)
        )


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """No room on our own disk takes no repository's PostgreSQL from it."""
    try:
        yield
    except OSError as exc:
        raise UnavailableError(
            f"cannot write to {folder.parent} (backup.state_dir): {exc.strerror}"
        ) from exc


def _json(value: RunRecord | Settings) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))


def _state(outcomes: Sequence[Outcome]) -> State:
    if all(one.state == "ok" for one in outcomes):
        return "ok"
    safe = any(one.part == "postgresql" and one.state == "ok" for one in outcomes)
    return "partial" if safe else "failed"


def _generation() -> str | None:
    """The NixOS generation that runs, where there is one."""
    try:
        return str(_SYSTEM.readlink())
    except OSError:
        return None


def _make_folder(path: str) -> None:
    try:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"the repository {path} cannot be written: {exc.strerror}") from exc
