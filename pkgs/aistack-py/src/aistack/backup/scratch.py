"""Scratch servers for drills: a restored PostgreSQL and a Qdrant, for us alone, gone afterwards."""

import contextlib
import secrets
import shlex
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aistack.embedded.postgres import find_binaries, server_major
from aistack.errors import UnavailableError
from aistack.kit import process
from aistack.settings.schema import Qdrant

FETCH = 'pgbackrest --no-config archive-get %f "%p"'
"""restore_command of what is restored for `postgres` here: its environment has the rest."""
_START_S = 3600
_SUMMARIES_SINCE = 17
_LOOK_S = 0.1
_LOG_LINES = 5


@contextlib.contextmanager
def postgres(data: Path, dsn: str, environment: dict[str, str]) -> Iterator[str]:
    """Run a restored cluster until the block ends; it answers by a socket of ours alone.

    Archiving is off, and whatever the cluster's own configuration says does not hold.

    Args:
        data: its data folder, as pgBackRest left it; it recovers now.
        dsn: of the real server: user and database are the same.
        environment: what pgBackRest needs to fetch WAL.

    Yields:
        A libpq connection string.

    Raises:
        UnavailableError: it does not come up; holds its last words.
    """
    user = process.owner(data)
    with contextlib.ExitStack() as resources:
        # Not beside the data: the name of a socket is short.
        folder = Path(tempfile.mkdtemp(prefix="aistack-drill-", dir="/tmp"))
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        process.give(folder, user)
        names = conninfo_to_dict(dsn)
        settings = {
            "archive_mode": "off",
            "config_file": str(folder / "postgresql.conf"),
            "hba_file": str(folder / "pg_hba.conf"),
            "ident_file": str(folder / "pg_ident.conf"),
            # Without it the limits of the real server would have to be met before the end.
            "hot_standby": "off",
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "shared_buffers": "128MB",
            "fsync": "off",
            "full_page_writes": "off",
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "maintenance_work_mem": "256MB",
            "autovacuum": "off",
            # In a sandbox without memory that is written and run, its first large query would die.
            "jit": "off",
        }
        if int(server_major()) >= _SUMMARIES_SINCE:
            settings["summarize_wal"] = "off"  # which WAL of this level cannot have
        _write(folder / "postgresql.conf", "", user)
        _write(folder / "pg_hba.conf", "local all all trust\n", user)
        _write(folder / "pg_ident.conf", "", user)
        log = folder / "log"
        programs = find_binaries()
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        command: process.Command = [programs / "pg_ctl", "-w", "-D", data]
        resources.callback(_stop, [*command, "stop", "-m", "immediate"], user)
        try:
            process.run(
                [*command, "start", "-t", str(_START_S), "-l", log, "-o", options],
                _START_S, user, environment,
            )  # fmt: skip
            found = make_conninfo(
                host=str(folder),
                dbname=str(names.get("dbname") or "postgres"),
                user=str(names.get("user") or "postgres"),
            )
            _await(found, data, log)
        except UnavailableError as exc:
            raise UnavailableError(
                f"the restored PostgreSQL does not come up: {_last_words(log) or exc.detail}"
            ) from exc
        yield found


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
                raise UnavailableError(_last_words(log) or "it ended") from exc
        time.sleep(_LOOK_S)
    raise UnavailableError(f"it did not end its recovery in {_START_S} s")


@contextlib.contextmanager
def qdrant(program: str, folder: Path, timeout_s: float) -> Iterator[Qdrant]:
    """Run a Qdrant with an empty storage, for whoever has its new key, until the block ends.

    Raises:
        UnavailableError: it does not start.
    """
    folder.mkdir(mode=0o700)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = folder / "key"
    secret = secrets.token_urlsafe(24)
    _write(key, secret, None)
    key.chmod(0o600)
    config = folder / "config.yaml"
    # JSON is YAML.
    config.write_bytes(
        msgspec.json.encode(
            {
                "storage": {
                    "storage_path": str(folder / "storage"),
                    "snapshots_path": str(folder / "snapshots"),
                },
                "service": {"host": "127.0.0.1", "http_port": port, "grpc_port": None},
                "telemetry_disabled": True,
            }
        )
    )
    with process.running(
        [program, "--config-path", config], {"QDRANT__SERVICE__API_KEY": secret}, folder
    ) as server:
        until = time.monotonic() + timeout_s
        while server.poll() is None and time.monotonic() < until:
            with socket.socket() as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    yield Qdrant(
                        url=f"http://127.0.0.1:{port}", api_key_file=str(key), timeout_s=timeout_s
                    )
                    return
            time.sleep(_LOOK_S)
    raise UnavailableError(f"the scratch Qdrant does not start: {_last_words(folder / 'log')}")


def _stop(command: process.Command, user: process.User | None) -> None:
    with contextlib.suppress(UnavailableError):  # it did not run
        process.run(command, _START_S, user)


def _write(path: Path, text: str, user: process.User | None) -> None:
    path.write_text(text, "utf-8")
    process.give(path, user)


def _last_words(log: Path) -> str:
    try:
        lines = log.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fatal = [line for line in lines if "FATAL" in line or "ERROR" in line]
    return " | ".join((fatal or lines)[-_LOG_LINES:])
