"""Reads repositories back: every file against its checksum, and WAL without a gap."""

import asyncio
from datetime import datetime
from time import perf_counter

from msgspec import Struct

from aistack.backup import catalogue, expire, wal
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
        faults += wal.missing(segments, contents.physical, oldest, segment_bytes)
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
