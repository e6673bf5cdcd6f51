"""What there is to restore, asked of a repository itself: a new host has nothing else."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from aistack.backup import target
from aistack.backup.model import Contents, Kept, RunRecord
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.backup.target import Choice, Target
from aistack.settings.schema import Backup

RECORD = "run.json"


def read(settings: Backup, repository: str, *, physical_only: bool = False) -> Contents:
    """What a repository holds; blocks. Both tools look at once: restic alone takes long to open it.

    Args:
        settings: of backups.
        repository: its name.
        physical_only: leave out what restic keeps, and the time that it takes.

    Raises:
        UnavailableError: it cannot be read.
    """
    if physical_only:
        return PgBackRest(settings).contents(repository)
    with ThreadPoolExecutor(1) as beside:
        kept = beside.submit(Restic(settings, repository).kept)
        found = PgBackRest(settings).contents(repository)
        return msgspec.structs.replace(found, kept=kept.result())


def choose(settings: Backup, wanted: Target, repositories: Sequence[Contents]) -> Choice:
    """From where a moment is reached, by the backups and by the WAL; blocks.

    Raises:
        NotFoundError: no repository reaches it.
        UnavailableError: the repository cannot be read any more.
    """
    found = target.choose(wanted, repositories)
    if wanted == Target():
        return found
    segments = PgBackRest(settings).segments(found.repository)
    return target.by_wal(found, wanted, segments.get(found.backup.archive, ()))


def record(settings: Backup, repository: str, kept: Kept) -> RunRecord:
    """The record that lies beside a run's index; blocks. Raises `UnavailableError`."""
    text = Restic(settings, repository).read(kept.id, f"/{RECORD}")
    return msgspec.json.decode(text, type=RunRecord)


def restored_record(folder: Path) -> RunRecord:
    """The record among the files of a run's index that were restored."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=RunRecord)
