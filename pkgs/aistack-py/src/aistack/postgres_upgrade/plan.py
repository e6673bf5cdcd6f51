"""Whether an upgrade can be done, found out without changing anything."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from aistack.errors import ConfigError, NotFoundError
from aistack.postgres_server.cluster import Cluster
from aistack.postgres_upgrade.model import Method, Plan, Transfer
from aistack.settings.schema import PostgresUpgrade

_SLACK_BYTES = 256 * 2**20
"""For the new cluster's own tables and its first WAL."""
_MIB = 2**20


def clusters(settings: PostgresUpgrade) -> tuple[Cluster, Cluster]:
    """The older and the newer one.

    Raises:
        ConfigError: it is not said from where to where, or that cannot be.
    """
    if not settings.from_data_dir or not settings.from_programs:
        raise ConfigError(
            "postgres_upgrade.from_programs is not set: name the older PostgreSQL"
            " (services.aistack.postgresql.upgradeFrom)"
        )
    old, new = Cluster(Path(settings.from_data_dir), Path(settings.from_programs)), newer(settings)
    if old.data.parent != new.data.parent:
        raise ConfigError(
            f"postgres_upgrade.from_data_dir ({old.data}) and .data_dir ({new.data}) do not lie in"
            " one folder: what is made in one could not take its place by a rename"
        )
    if int(old.major) >= int(new.major):
        raise ConfigError(
            f"PostgreSQL {old.major} is not older than {new.major}: set"
            " services.postgresql.package to the newer one, and"
            " services.aistack.postgresql.upgradeFrom to the one that made the database"
        )
    return old, new


def newer(settings: PostgresUpgrade) -> Cluster:
    """The newer one, which also outlives the settings of the older.

    Raises:
        ConfigError: it is not said which that is.
    """
    if not settings.data_dir or not settings.programs:
        raise ConfigError(
            "postgres_upgrade.data_dir and .programs are not set: name the PostgreSQL of this host"
            " (services.aistack.postgresql.createLocally)"
        )
    return Cluster(Path(settings.data_dir), Path(settings.programs))


def plan(
    old: Cluster,
    new: Cluster,
    method: Method,
    transfer: Transfer,
    *,
    live: bool,
    backup: str | None,
) -> Plan:
    """What would be done, and the faults that keep it from being done.

    Args:
        old: what there is.
        new: what there is to be.
        method: how.
        transfer: how pg_upgrade takes files over.
        live: whether the old server may run (only a look is wanted).
        backup: what is wrong with the backups; None: nothing.

    Raises:
        ConfigError: the older folder is another version's.
        NotFoundError: there is no cluster to upgrade.
    """
    made_by = old.version
    if made_by is None:
        raise NotFoundError(f"{old.data} has no cluster: there is nothing to upgrade")
    if made_by != old.major:
        raise ConfigError(
            f"{old.data} was made by PostgreSQL {made_by}, and"
            f" services.aistack.postgresql.upgradeFrom has {old.major}: set it to {made_by}"
        )
    if method == "dump":
        transfer = "copy"  # it writes files of its own
    size = _size(old.data)
    takes = _SLACK_BYTES + (size if transfer == "copy" else 0)
    free = shutil.disk_usage(new.data.parent).free
    found = Plan(
        from_version=made_by,
        to_version=new.major,
        from_data_dir=str(old.data),
        data_dir=str(new.data),
        kept=f"{made_by}.before-{new.major}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        method=method,
        transfer=transfer,
        bytes=size,
        needed_bytes=takes,
        free_bytes=free,
        faults=[],
    )
    found.faults.extend(_faults(old, new, found, live=live, backup=backup))
    return found


def _faults(old: Cluster, new: Cluster, plan: Plan, *, live: bool, backup: str | None) -> list[str]:
    found = []
    if new.version is not None:
        found.append(
            f"{new.data} has a cluster already: where it is an empty one that was made by mistake,"
            f" stop postgresql.service and move it away (mv {new.data} {new.data}.empty)"
        )
    elif new.data.exists() and any(new.data.iterdir()):
        found.append(f"{new.data} is not empty: move away what is in it")
    if not live and old.lives():
        found.append(
            f"PostgreSQL {old.major} still runs in {old.data}: switch to the configuration with"
            f" PostgreSQL {new.major} first; it waits until this is done"
        )
    if plan.free_bytes < plan.needed_bytes:
        found.append(
            f"{new.data.parent} has {plan.free_bytes // _MIB} MiB free and"
            f" {plan.needed_bytes // _MIB} MiB are needed: make room, or use --transfer link, which"
            " needs none and takes the way back"
        )
    if any((old.data / "pg_tblspc").iterdir()):
        found.append(
            "there are tablespaces outside the data folder, which this command does not move: drop"
            " them first (alter table ... set tablespace pg_default; drop tablespace ...)"
        )
    found += [
        f"{data} is a mount point, which cannot be renamed: mount its file system on"
        f" {data.parent} instead"
        for data in (old.data, new.data)
        if data.is_mount()
    ]
    if backup is not None:
        found.append(backup)
    return found


def _size(folder: Path) -> int:
    """Bytes on the disk, by and large: files may come and go meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
