"""A server of a cluster for us alone, whatever the cluster's own configuration says."""

import contextlib
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from aistack.errors import UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster, Stop

_START_S = 3600
_LOOK_S = 0.1
_LOG_LINES = 5
_SUMMARIES_SINCE = 17


@contextlib.contextmanager
def serving(
    cluster: Cluster,
    settings: Mapping[str, str],
    dsn: str,
    environment: Mapping[str, str] | None = None,
    stop: Stop = "fast",
) -> Iterator[str]:
    """Run a cluster's server until the block ends; it answers by a socket of ours alone.

    The block begins when the server has recovered.

    Args:
        cluster: which.
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
    command: process.Command = [cluster.programs / "pg_ctl", "-w", "-D", cluster.data]
    with contextlib.ExitStack() as resources:
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        process.give(folder, cluster.user)
        alone = secluded(folder, cluster.user) | {"archive_mode": "off", **settings}
        options = shlex.join(f"--{name}={value}" for name, value in alone.items())
        log = folder / "log"
        resources.callback(_end, cluster, stop)
        try:
            process.run(
                [*command, "start", "-t", str(_START_S), "-l", log, "-o", options],
                _START_S, cluster.user, environment or {},
            )  # fmt: skip
            found = make_conninfo(dsn, host=str(folder), port="5432")
            _await(found, cluster.data, log)
        except UnavailableError as exc:
            raise UnavailableError(last_words(log) or exc.detail) from exc
        yield found


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


def _end(cluster: Cluster, mode: Stop) -> None:
    with contextlib.suppress(UnavailableError):  # it did not run
        cluster.stop(mode)
