"""The values of an upgrade, and what it leaves in the newer cluster's folder."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from aistack.errors import ConflictError
from aistack.kit import disk, process

Method = Literal["pg_upgrade", "dump"]
"""``pg_upgrade`` takes over the files of the tables, ``dump`` writes them anew."""
Transfer = Literal["copy", "clone", "link"]
"""How pg_upgrade takes the files over. After ``link`` the older cluster cannot be used any more."""
State = Literal["carried", "verified"]
Aside = Annotated[str, Meta(pattern=r"^[0-9]+\.before-[0-9]+-[0-9TZ]+$")]
"""Name of an older data folder that was put aside, as in 17.before-18-20260101T000000Z.

No path: who runs the server may write the record, and root moves and deletes by it.
"""

RECORD = "aistack-upgrade.json"


class Record(Struct, frozen=True, kw_only=True):
    """An upgrade that got as far as ``state``."""

    from_version: str
    to_version: str
    method: Method
    transfer: Transfer
    state: State
    at: datetime
    kept: Aside
    """What the older data folder is called when all is well; it lies beside the newer one."""
    tables: int = 0
    rows: int = 0
    left: tuple[str, ...] = ()
    """What PostgreSQL leaves to the administrator, as in ``app: alter extension x update``."""


class Plan(Struct, frozen=True, kw_only=True):
    """What an upgrade would do, and what keeps it from that."""

    from_version: str
    to_version: str
    from_data_dir: str
    data_dir: str
    kept: Aside
    method: Method
    transfer: Transfer
    bytes: int
    """That the older cluster takes."""
    needed_bytes: int
    free_bytes: int
    faults: list[str]
    """Each names what mends it."""


def read(data: Path) -> Record | None:
    """The record of the upgrade that made a cluster; None: none did.

    Raises:
        ConflictError: there is one, and it cannot be read.
    """
    try:
        return msgspec.json.decode((data / RECORD).read_bytes(), type=Record)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as exc:
        raise ConflictError(f"{data / RECORD} is damaged: {exc}") from exc


def write(data: Path, record: Record, user: process.User | None) -> None:
    """Write the record, so that it is there whole or not at all, also after a power loss."""
    new = data / f"{RECORD}.new"
    save(new, msgspec.json.encode(record))
    process.give(new, user)
    new.replace(data / RECORD)
    disk.sync(data)


def save(path: Path, content: bytes) -> None:
    """Write a file so that it outlasts a power loss, if its name does."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
