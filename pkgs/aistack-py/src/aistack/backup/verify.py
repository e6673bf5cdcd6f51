"""Reads repositories back: every file against its checksum, and WAL without a gap."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from time import perf_counter

from msgspec import Struct

from aistack.backup import catalogue, expire, wal
from aistack.backup.model import Physical
from aistack.backup.pgbackrest import PgBackRest
from aistack.backup.restic import Restic
from aistack.errors import AistackError
from aistack.settings import schema


class Verified(Struct, frozen=True):
    """What verifying a repository found."""

    repository: str
    faults: list[str]
    """In words; empty: nothing."""
    backups: int
    part: str
    """Which part of the restic data was read, as in 2/4."""
    seconds: float


async def verify(
    settings: schema.Backup, repository: str, now: datetime, segment_bytes: int
) -> Verified:
    """Verify one repository.

    pgBackRest's files are all read each time; of restic's data one of ``backup.verify_parts``, the
    next one each week.
    """
    start = perf_counter()
    backrest, restic = PgBackRest(settings), Restic(settings, repository)
    part = now.isocalendar().week % settings.verify_parts + 1
    faults: list[str] = []
    backups = 0
    try:
        contents = await asyncio.to_thread(catalogue.read, settings, repository)
        backups = len(contents.physical)
        if not contents.physical:
            faults.append("it holds no backup")
        faults += [
            f"backup {one.label} has pages with wrong checksums"
            for one in contents.physical
            if one.error
        ]
        window = expire.decide(contents, settings.retention, now).archive
        oldest = contents.physical[-window:][0].label if contents.physical else None
        segments = await asyncio.to_thread(backrest.segments, repository)
        faults += _gaps(segments, contents.physical, oldest, segment_bytes)
    except AistackError as exc:
        faults.append(exc.detail)
    for look in (
        lambda: backrest.verify(repository),
        lambda: restic.check(part, settings.verify_parts),
    ):
        try:
            await asyncio.to_thread(look)
        except AistackError as exc:
            faults.append(exc.detail)
    seconds = round(perf_counter() - start, 2)
    return Verified(repository, faults, backups, f"{part}/{settings.verify_parts}", seconds)


def _gaps(
    segments: Mapping[str, Iterable[str]],
    backups: Sequence[Physical],
    since: str | None,
    segment_bytes: int,
) -> list[str]:
    """Each cluster's WAL by itself: from the last of one to the first of the next nothing leads."""
    faults = []
    for archive in dict.fromkeys(one.archive for one in backups):
        own = [one for one in backups if one.archive == archive]
        labels = [one.label for one in own]
        # A cluster that is younger than the window is reached from its first backup on.
        first = next((label for label in labels if since is not None and label >= since), None)
        faults += wal.missing(segments.get(archive, ()), own, first, segment_bytes)
    return faults
