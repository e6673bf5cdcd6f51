"""A data folder of PostgreSQL with its programs: what it is, and a server of it for us alone."""

import contextlib
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo

from aistack.embedded.postgres import find_binaries, server_major
from aistack.errors import UnavailableError
from aistack.kit import process

_QUICK_S = 300
_START_S = 3600
_LOOK_S = 0.1
_LOG_LINES = 5
_SUMMARIES_SINCE = 17
Stop = Literal["fast", "immediate"]
"""How a server ends: after a checkpoint, or at once, to recover at its next start."""
_NO_SERVER = {3, 4}
"""What pg_ctl status ends with where none runs: there could be one, or it is no data folder."""


class Cluster:
    """One data folder. All methods block.

    Args:
        data: the folder; it need not be there yet.
        programs: folder of the programs of its major version; None: those of `find_binaries`.
    """

    def __init__(self, data: Path, programs: Path | None = None) -> None:
        self.data = data
        self._programs = programs

    @property
    def programs(self) -> Path:
        """Folder of its programs; raises `ConfigError` where there are none."""
        return self._programs or find_binaries()

    @property
    def user(self) -> process.User | None:
        """Whom its programs run as; None: as we are."""
        return process.owner(self.data) or process.owner(self.data.parent)

    @property
    def version(self) -> str | None:
        """Major version that made it, as in 17; None: there is no cluster."""
        try:
            return (self.data / "PG_VERSION").read_text("ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @property
    def major(self) -> str:
        """Major version of its programs, as in 17."""
        return server_major(self.programs)

    def run(self, program: str, *words: str | Path, timeout_s: float = _QUICK_S) -> str:
        """Run one of its programs as its user, in English; returns what it printed."""
        line: process.Command = [self.programs / program, *words]
        return process.run(line, timeout_s, self.user, {"LC_ALL": "C"}, Path("/"))

    def control(self) -> dict[str, str]:
        """What pg_controldata says, as in ``{"Bytes per WAL segment": "16777216"}``."""
        pairs = (line.partition(":") for line in self.run("pg_controldata", self.data).splitlines())
        return {name.strip(): value.strip() for name, _, value in pairs}

    def lives(self) -> bool:
        """Whether a server uses the folder now."""
        if self.version is None:
            return False
        try:
            self.run("pg_ctl", "status", "-D", self.data)
        except process.FailedError as exc:
            if exc.status in _NO_SERVER:
                return False
            raise
        return True

    @contextlib.contextmanager
    def serving(
        self,
        settings: Mapping[str, str],
        dsn: str,
        environment: Mapping[str, str] | None = None,
        stop: Stop = "fast",
    ) -> Iterator[str]:
        """Run its server until the block ends; it answers by a socket of ours alone.

        Whatever the cluster's own configuration says does not hold. The block begins when the
        server has recovered.

        Args:
            settings: of the server, besides those that keep others out.
            dsn: of whom to connect as, and to which database.
            environment: more for the server and the programs that it calls.
            stop: how it ends.

        Yields:
            A libpq connection string.

        Raises:
            UnavailableError: it does not come up; holds its last words.
        """
        # Not beside the data: the name of a socket is short.
        folder = Path(tempfile.mkdtemp(prefix="aistack-pg-", dir="/tmp"))
        command: process.Command = [self.programs / "pg_ctl", "-w", "-D", self.data]
        with contextlib.ExitStack() as resources:
            resources.callback(shutil.rmtree, folder, ignore_errors=True)
            process.give(folder, self.user)
            alone = secluded(folder, self.user) | {"archive_mode": "off", **settings}
            options = shlex.join(f"--{name}={value}" for name, value in alone.items())
            log = folder / "log"
            resources.callback(self._end, stop)
            try:
                process.run(
                    [*command, "start", "-t", str(_START_S), "-l", log, "-o", options],
                    _START_S, self.user, environment or {},
                )  # fmt: skip
                found = make_conninfo(dsn, host=str(folder), port="5432")
                _await(found, self.data, log)
            except UnavailableError as exc:
                raise UnavailableError(last_words(log) or exc.detail) from exc
            yield found

    def stop(self, mode: Stop) -> None:
        """End its server, and wait for that.

        Raises:
            UnavailableError: it did not run, or does not end.
        """
        self.run("pg_ctl", "-w", "-D", self.data, "stop", "-m", mode, timeout_s=_START_S)

    def _end(self, mode: Stop) -> None:
        with contextlib.suppress(UnavailableError):  # it did not run
            self.stop(mode)


def secluded(folder: Path, user: process.User | None) -> dict[str, str]:
    """Settings with which a server of any cluster is for those alone who may enter a folder."""
    files = {
        "config_file": ("postgresql.conf", ""),
        "hba_file": ("pg_hba.conf", "local all all trust\n"),
        "ident_file": ("pg_ident.conf", ""),
    }
    for name, text in files.values():
        (folder / name).write_text(text, "utf-8")
        process.give(folder / name, user)
    return {setting: str(folder / name) for setting, (name, _) in files.items()} | {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "port": "5432",
        # In a sandbox without memory that is written and run, its first large query would die.
        "jit": "off",
    }


def last_words(log: Path) -> str:
    """The errors at the end of a server's log, or its last lines; empty: there are none."""
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fatal = [line for line in lines if re.search("FATAL|ERROR", line)]
    return " | ".join((fatal or lines)[-_LOG_LINES:])


def without_wal(major: int) -> dict[str, str]:
    """Settings of a server whose data nobody will miss."""
    settings = {
        "fsync": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "autovacuum": "off",
    }
    if major >= _SUMMARIES_SINCE:
        settings["summarize_wal"] = "off"  # which WAL of this level cannot have
    return settings


def _await(dsn: str, data: Path, log: Path) -> None:
    """Wait until recovery has ended."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                row = connection.execute("select pg_is_in_recovery()").fetchone()
                if row == (False,):
                    return
        except psycopg.OperationalError as exc:
            if not (data / "postmaster.pid").exists():
                raise UnavailableError(last_words(log) or "it ended") from exc
        time.sleep(_LOOK_S)
    raise UnavailableError(f"it did not end its recovery in {_START_S} s")
