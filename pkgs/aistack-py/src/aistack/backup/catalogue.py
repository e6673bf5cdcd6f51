"""What there is to restore, asked of a repository itself: a new host has nothing else."""

from pathlib import Path

import msgspec

from aistack.backup.model import Contents, Kept, RunRecord
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.settings.schema import Backup

RECORD = "run.json"


def read(settings: Backup, repository: str) -> Contents:
    """What a repository holds; blocks. Raises `UnavailableError` where it cannot be read."""
    found = PgBackRest(settings).contents(repository)
    return msgspec.structs.replace(found, kept=Restic(settings, repository).kept())


def record(settings: Backup, repository: str, kept: Kept) -> RunRecord:
    """The record that lies beside a run's index; blocks. Raises `UnavailableError`."""
    text = Restic(settings, repository).read(kept.id, f"/{RECORD}")
    return msgspec.json.decode(text, type=RunRecord)


def restored_record(folder: Path) -> RunRecord:
    """The record among the files of a run's index that were restored."""
    return msgspec.json.decode((folder / RECORD).read_bytes(), type=RunRecord)
