"""What there is to restore, asked of a repository itself: a new host has nothing else."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from aistack.backup.model import Contents, Kept, RunRecord
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
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


def record(settings: Backup, repository: str, kept: Kept) -> RunRecord:
    """The record that lies beside a run's index; blocks. Raises `UnavailableError`."""
    text = Restic(settings, repository).read(kept.id, f"/{RECORD}")
    return msgspec.json.decode(text, type=RunRecord)


def restored_record(folder: Path) -> RunRecord:
    """The record among the files of a run's index that were restored."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=RunRecord)
