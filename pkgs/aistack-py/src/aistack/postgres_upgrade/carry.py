"""The two ways from one cluster into the next, and how the next one is made. All block."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from aistack.errors import UnavailableError
from aistack.kit import process
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_server.private import secluded, serving
from aistack.postgres_upgrade.model import Transfer
from aistack.postgres_upgrade.picture import Origin

_LONG_S = 7 * 24 * 3600
_CHECKSUMS = "Data page checksum version"
_SEGMENT = "Bytes per WAL segment"
_CHECKSUMS_BY_DEFAULT = 18
"""The first major version whose clusters have checksums unless asked not to."""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_GIVEN = {"postgres", "template1"}
"""Databases that a new cluster has already."""
_UNARCHIVED = {"archive_mode": "on", "archive_command": ""}
"""WAL waits for the cluster's own server: if that runs again, its archive has no gap."""
QUIET = {"default_transaction_read_only": "on", "autovacuum": "off", **_UNARCHIVED}
"""Settings of a server that is only read."""


def make(old: Cluster, new: Cluster, like: Origin) -> None:
    """Make an empty cluster that is like the old one: encoding, locale, checksums, WAL segments."""
    control = old.control()
    words = [
        f"--username={like.superuser}",
        f"--encoding={like.encoding}",
        f"--lc-collate={like.collate}",
        f"--lc-ctype={like.ctype}",
        f"--wal-segsize={int(control[_SEGMENT]) // 2**20}",
        # Of its own rules only these are there until the host's are.
        "--auth-local=peer",
        "--auth-host=reject",
    ]
    if like.provider != "c":
        provider = _PROVIDERS[like.provider]
        words.append(f"--locale-provider={provider}")
        if like.locale:
            words.append(f"--{provider}-locale={like.locale}")
    if control[_CHECKSUMS] != "0":
        words.append("--data-checksums")
    elif int(new.major) >= _CHECKSUMS_BY_DEFAULT:
        words.append("--no-data-checksums")
    new.run("initdb", "-D", new.data, *words, timeout_s=_LONG_S)


def pg_upgrade(
    old: Cluster,
    new: Cluster,
    inside: Path,
    superuser: str,
    preload: str,
    transfer: Transfer,
    *,
    only_check: bool,
) -> None:
    """Take the old cluster's files over, or only look whether that would work.

    Args:
        old: stopped, or (to look) running.
        new: empty, of the same kind.
        inside: working folder of pg_upgrade and of all that it starts.
        superuser: who made both.
        preload: shared_preload_libraries of both.
        transfer: how.
        only_check: change nothing.

    Raises:
        UnavailableError: it cannot be done, or failed; holds pg_upgrade's last words.
    """
    with _socket_folder(new.user) as folder:
        settings = secluded(folder, new.user) | preloading(preload)
        # Where they listen, and who may come, pg_upgrade settles itself.
        for own in ("listen_addresses", "unix_socket_directories", "port"):
            del settings[own]
        line: process.Command = [
            new.programs / "pg_upgrade",
            f"--old-bindir={old.programs}", f"--new-bindir={new.programs}",
            f"--old-datadir={old.data}", f"--new-datadir={new.data}",
            f"--old-options={_options(settings | _UNARCHIVED)}",
            f"--new-options={_options(settings | {'archive_mode': 'off'})}",
            f"--username={superuser}", f"--socketdir={folder}",
        ]  # fmt: skip
        if transfer != "copy":
            line.append(f"--{transfer}")
        if only_check:
            line.append("--check")
        try:
            process.run(line, _LONG_S, new.user, {"LC_ALL": "C"}, inside)
        except process.FailedError as exc:
            raise UnavailableError(f"{exc.detail}{_reports(new.data)}") from exc


def dump(
    old: Cluster, new: Cluster, origin: Origin, databases: Sequence[str], preload: str
) -> None:
    """Dump the databases of the old cluster into the new one.

    Raises:
        UnavailableError: something failed; holds the program's last words.
    """
    programs, user = new.programs, new.user
    who = make_conninfo(user=origin.superuser, dbname="postgres")
    more = preloading(preload)
    with serving(old, QUIET | more, who) as source, serving(new, more, who) as target:
        globals_ = process.run(
            [programs / "pg_dumpall", "--globals-only", f"--dbname={source}"], _LONG_S, user
        )
        # Who made the new cluster is there already.
        own = {f"CREATE ROLE {origin.superuser};", f'CREATE ROLE "{origin.superuser}";'}
        roles = "\n".join(line for line in globals_.splitlines() if line not in own)
        process.run(
            [programs / "psql", "-Xq", "--set=ON_ERROR_STOP=1", f"--dbname={target}", "-f", "-"],
            _LONG_S, user, given=roles,
        )  # fmt: skip
        for database in databases:
            given = database in _GIVEN
            # Into the one that is there; or made by the dump, from beside it.
            into = make_conninfo(target, dbname=database if given else "postgres")
            create = [] if given else ["--create"]
            here = make_conninfo(source, dbname=database)
            process.feed(
                [programs / "pg_dump", "-Fc", *create, f"--dbname={here}"],
                [programs / "pg_restore", "--exit-on-error", *create, f"--dbname={into}"],
                _LONG_S,
                user,
            )


def preloading(libraries: str) -> dict[str, str]:
    """The setting for them; none, where there are none."""
    return {"shared_preload_libraries": libraries} if libraries else {}


def analyze(new: Cluster, dsn: str) -> None:
    """Give the planner its statistics, without which it plans for empty tables."""
    new.run("vacuumdb", "--all", "--analyze-only", f"--maintenance-db={dsn}", timeout_s=_LONG_S)


def _options(settings: Mapping[str, str]) -> str:
    """For the shell that pg_upgrade calls."""
    return " ".join(f"-c {name}='{value}'" for name, value in settings.items())


@contextmanager
def _socket_folder(user: process.User | None) -> Iterator[Path]:
    # The name of a socket is short: not beside the data.
    folder = Path(tempfile.mkdtemp(prefix="aistack-pg-", dir="/tmp"))
    try:
        process.give(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reports(data: Path) -> str:
    """What pg_upgrade wrote about what is in the way; it names only the files."""
    found = []
    for path in sorted((data / "pg_upgrade_output.d").glob("*/*.txt")):
        lines = path.read_text("utf-8", errors="replace").splitlines()
        found.append(f"; {path.stem}: {' '.join(line.strip() for line in lines[:5])}")
    return "".join(found)[:1000]
