"""How backups stand, from what PostgreSQL remembers: for people, for metrics, for the probe."""

from datetime import datetime

from msgspec import Struct

from aistack.backup.store import DrillResult, Memory, PartState, RepositoryState
from aistack.settings.schema import Backup


class Status(Struct, frozen=True, kw_only=True):
    """What is known now; None: never, or not to be known."""

    parts: list[PartState]
    repositories: list[RepositoryState]
    last_drill: DrillResult | None
    last_good_drill: datetime | None
    rto_s: float | None
    """Of the last drill that went well, as is the next."""
    rpo_s: float | None
    archive_lag_s: float | None
    """Age of the oldest whole WAL segment that is not in the repositories."""


async def look(settings: Backup, memory: Memory) -> Status:
    """Ask PostgreSQL.

    Raises:
        UnavailableError: it does not answer.
    """
    names = list(settings.repositories)
    good = await memory.last_good_drill() or {}
    return Status(
        parts=await memory.parts(names),
        repositories=await memory.repositories(names),
        last_drill=await memory.last_drill(),
        last_good_drill=good.get("finished_at"),
        rto_s=good.get("rto_s"),
        rpo_s=good.get("rpo_s"),
        archive_lag_s=await memory.archive_lag_s(),
    )


def last_success(status: Status, part: str) -> datetime | None:
    """When a part last reached any repository: one is enough to restore from."""
    times = [p.last_ok_at for p in status.parts if p.part == part and p.last_ok_at is not None]
    return max(times, default=None)
