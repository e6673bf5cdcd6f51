"""Scratch servers for drills: a restored PostgreSQL and a Qdrant, for us alone, gone afterwards."""

import contextlib
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aistack.errors import UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.private import last_words, serving, without_wal
from aistack.postgres_server.programs import server_major
from aistack.settings.schema import Qdrant

FETCH = 'pgbackrest --no-config archive-get %f "%p" || exit $(($? == 1 ? 1 : 255))'
"""restore_command of what is restored for `postgres` here: its environment has the rest.

Only 1 says that there is no such segment, which ends a recovery; all else must fail it.
"""
_LOOK_S = 0.1


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
    settings = without_wal(int(server_major())) | {
        # Without it the limits of the real server would have to be met before the end.
        "hot_standby": "off",
        "shared_buffers": "128MB",
        "maintenance_work_mem": "256MB",
    }
    names = conninfo_to_dict(dsn)
    who = make_conninfo(
        dbname=str(names.get("dbname") or "postgres"), user=str(names.get("user") or "postgres")
    )
    with contextlib.ExitStack() as resources:
        server = serving(Cluster(data), settings, who, environment, "immediate")
        try:
            found = resources.enter_context(server)
        except UnavailableError as exc:
            raise UnavailableError(
                f"the restored PostgreSQL does not come up: {exc.detail}"
            ) from exc
        yield found


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
    key.write_text(secret, "utf-8")
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
    raise UnavailableError(f"the scratch Qdrant does not start: {last_words(folder / 'log')}")
