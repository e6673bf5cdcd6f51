"""Restores: into a folder, or in place of the running database, which comes back if that fails."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.target import Choice
from aistack.errors import AistackError, ConfigError, ConflictError, NotFoundError, UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.programs import find_binaries, server_major
from aistack.settings.schema import Backup

log = logging.getLogger(__name__)

Parts = Literal["all", "postgresql", "qdrant"]

_QUICK_S = 60
_UNITS_S = 900
_RECOVER_S = 24 * 3600
_LOOK_S = 0.2
_PRIVATE = 0o700
_PATIENCE_S = 30
_RECOVERING = re.compile(r"starting up|not (yet )?accepting connections")


class Units(Protocol):
    """What uses the database, and the server itself."""

    def stop(self) -> None:
        """Stop everything, the users of the database first."""

    def start_server(self) -> None:
        """Start the server."""

    def start_users(self) -> None:
        """Start everything that uses it."""


class Systemd:
    """Units of this host; the settings name the users first, the server last."""

    def __init__(self, units: Sequence[str]) -> None:
        self._units = units

    def stop(self) -> None:
        """Stop them one after the other."""
        for unit in self._units:
            process.run(["systemctl", "stop", unit], _UNITS_S)

    def start_server(self) -> None:
        """Start the last one; whether it comes up is found out by asking it."""
        self._start(self._units[-1:])

    def start_users(self) -> None:
        """Start the others; they wait for their turn by themselves."""
        self._start(self._units[:-1])

    def _start(self, units: Sequence[str]) -> None:
        for unit in units:
            # A server that failed before, quickly and often, would not be let try again.
            process.run(["systemctl", "reset-failed", unit], _UNITS_S)
            process.run(["systemctl", "start", "--no-block", unit], _UNITS_S)


class Restored(Struct, kw_only=True):
    """What a restore did."""

    repository: str
    backup: str
    into: str
    seconds: float
    """Until PostgreSQL answered, or until the files lay there."""
    kept_aside: str | None = None
    """The data folder as it was before."""
    index: str = "not restored"
    whole: bool = True
    """Whether the index came along, too."""


class Restorer:
    """Restores one choice.

    Args:
        settings: of backups.
        units: what a restore in place stops and starts.
        say: told what happens.
    """

    def __init__(
        self, settings: Backup, units: Units, say: Callable[[str], None] = log.info
    ) -> None:
        self._own = settings
        self._units = units
        self._say = say

    def into(self, choice: Choice, folder: Path, parts: Parts) -> Restored:
        """Put files into an empty folder, PostgreSQL's and the index's at once; nothing is started.

        Raises:
            ConflictError: the folder is not empty.
            NotFoundError: the index alone is wanted, and the repository has none of that moment.
            UnavailableError: a repository cannot be read.
        """
        if parts == "qdrant" and choice.index is None:
            raise NotFoundError("no snapshots of the index are of that moment or before it")
        start = time.monotonic()
        if folder.exists() and any(folder.iterdir()):
            raise ConflictError(f"{folder} is not empty: a restore needs a folder of its own")
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        user = process.owner(Path(self._own.data_dir))
        process.give(folder, user)
        index = None if parts == "postgresql" else choice.index
        with ThreadPoolExecutor(2) as both:
            work = []
            if parts != "qdrant":
                self._say(f"PostgreSQL from {choice.repository}, backup {choice.backup.label}")
                work.append(both.submit(self._files, choice, folder / "postgresql"))
            if index is not None:
                self._say(f"the index of run {index.run}")
                restic = Restic(self._own, choice.repository)
                work.append(both.submit(restic.restore, index.id, folder / "index"))
            for one in work:
                one.result()
        return Restored(
            repository=choice.repository,
            backup=choice.backup.label,
            into=str(folder),
            seconds=round(time.monotonic() - start, 2),
            index=f"files of run {index.run}" if index else "not restored",
        )

    def _files(self, choice: Choice, data: Path) -> None:
        PgBackRest(self._own, data).restore(
            choice.repository, choice.backup.label, self._target(choice), archiving=False
        )

    def in_place(self, choice: Choice, *, sure: bool, index: Callable[[], str] | None) -> Restored:
        """Replace the running database; the caller holds the lock.

        What uses the database is stopped until all is in place. The old data folder is moved aside.
        It comes back by itself where the restored server does not answer; killed half-way, it lies
        beside the data folder, and a file FOLDER.restoring says where.

        Args:
            choice: what to restore.
            sure: also where the database lives.
            index: brings the index along, when the server answers, and says what it did; None: it
                stays as it is. That it fails is only told: the database is right.

        Raises:
            ConfigError: the folder of the database is not known, or the backup is of another major
                version of PostgreSQL.
            ConflictError: the database lives.
            UnavailableError: the restored server does not answer; the old one runs again.
        """
        if not self._own.data_dir:
            raise ConfigError("backup.data_dir is not set: which folder is to be replaced?")
        data = Path(self._own.data_dir)
        ours, theirs = server_major(), choice.backup.server
        if theirs and ours != theirs:
            raise ConfigError(
                f"the backup is of PostgreSQL {theirs}, this host has {ours}: install {theirs}"
                " (services.postgresql.package), or load the logical dump"
            )
        if not sure and Cluster(data).lives():
            raise ConflictError(
                f"the database in {data} is in use: --yes replaces it (it is kept aside)"
            )
        done = self._replace(choice, data)
        try:
            if index is not None:
                self._say("the index")
                done.index = index()
        except AistackError as exc:
            done.whole, done.index = False, f"FAILED, run aistack reindex: {exc.detail}"
        finally:
            self._units.start_users()
        return done

    def _replace(self, choice: Choice, data: Path) -> Restored:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        # What a killed restore left in the data folder is half a database, and never comes back.
        killed = _put_aside(data)
        aside = killed or data.with_name(f"{data.name}.before-{stamp}")
        user = process.owner(data) or process.owner(data.parent)
        _note_under_way(data, aside)
        self._say("stopping what uses the database")
        try:
            self._stop(data)
        except BaseException:
            if killed is None:
                self._start_server(data)
                self._units.start_users()
            raise
        start = time.monotonic()
        if data.exists():
            data.rename(data.with_name(f"{data.name}.killed-{stamp}") if killed else aside)
        try:
            data.mkdir(mode=_PRIVATE)
            process.give(data, user)
            self._say(f"PostgreSQL from {choice.repository}, backup {choice.backup.label}")
            PgBackRest(self._own).restore(
                choice.repository, choice.backup.label, self._target(choice), archiving=True
            )
            self._say("starting it; it fetches the WAL that it needs")
            self._start_server(data)
            self._await(data, user)
        except BaseException as exc:
            self._put_back(data, aside, stamp)
            if isinstance(exc, UnavailableError):
                raise UnavailableError(
                    f"{exc.detail}; the database is the old one again, what was restored lies in"
                    f" {data}.failed-{stamp}"
                ) from exc
            raise
        return Restored(
            repository=choice.repository,
            backup=choice.backup.label,
            into=str(data),
            seconds=round(time.monotonic() - start, 2),
            kept_aside=str(aside) if aside.exists() else None,
        )

    def _stop(self, data: Path) -> None:
        self._units.stop()
        if Cluster(data).lives():
            raise ConflictError(
                f"PostgreSQL still runs in {data}: name its unit last in backup.units"
            )

    def _put_back(self, data: Path, aside: Path, stamp: str) -> None:
        self._say("that failed: putting the old database back")
        _note_under_way(data, aside)
        self._units.stop()
        if data.exists():
            data.rename(data.with_name(f"{data.name}.failed-{stamp}"))
        if aside.exists():
            aside.rename(data)
        self._start_server(data)
        self._units.start_users()

    def _start_server(self, data: Path) -> None:
        _under_way(data).unlink()
        self._units.start_server()

    def _target(self, choice: Choice) -> list[str]:
        fetch = self._own.restore_command
        return [*choice.arguments, f"--recovery-option=restore_command={fetch}"]

    def _await(self, data: Path, user: process.User | None) -> None:
        """Wait until the server has recovered and takes writes."""
        ask: process.Command = [
            find_binaries() / "psql", "-XtAc", "select pg_is_in_recovery()",
            f"--dbname={self._own.dsn}",
        ]  # fmt: skip
        began = recovering = time.monotonic()
        came_up = False
        while time.monotonic() - began < _RECOVER_S:
            try:
                if process.run(ask, _QUICK_S, user).strip() == "f":
                    return
                recovering = time.monotonic()
            except process.FailedError as exc:
                alive = Cluster(data).lives()
                ended = came_up and not alive
                came_up = came_up or alive
                if alive and _RECOVERING.search(exc.detail):
                    recovering = time.monotonic()
                # It never came, or it lives and will not have us: the database itself is gone.
                if ended or time.monotonic() - recovering > _PATIENCE_S:
                    raise UnavailableError(
                        f"the restored PostgreSQL does not answer ({exc.detail}); its log says why"
                    ) from exc
            time.sleep(_LOOK_S)
        raise UnavailableError("the restored PostgreSQL does not end its recovery")


def _under_way(data: Path) -> Path:
    """What stands beside a data folder while it is replaced; it holds where the old one is.

    A timer's unit may start the server at any moment: on NixOS it does not while this is there.
    Killed, a restore leaves it, and nobody takes half a database for a whole one.
    """
    return data.with_name(f"{data.name}.restoring")


def _note_under_way(data: Path, aside: Path) -> None:
    _under_way(data).write_text(f"{aside}\n", "utf-8")


def _put_aside(data: Path) -> Path | None:
    """Where a restore that was killed put the old data folder; None: there was none, or not yet."""
    try:
        aside = Path(_under_way(data).read_text("utf-8").strip())
    except FileNotFoundError:
        return None
    return aside if aside.parent == data.parent and aside.is_dir() else None


def bring_index(config: Path, choice: Choice, user: process.User | None) -> str:
    """Bring the index along, as the user of the database; blocks; returns what was done.

    By a process of its own: only that user may enter the database, and only root moves its files.
    """
    words: process.Command = ["--config", config, "backup", "restore-index"]
    words.append(f"--repository={choice.repository}")
    if choice.index is not None:
        words.append(f"--snapshot={choice.index.id}")
    return process.again(words, _RECOVER_S, user).strip()
