"""From the spool to PostgreSQL, in order, each event once."""

import asyncio
import logging

from aistack.issues.intake import Place
from aistack.issues.spool import Drain, Spool
from aistack.issues.store import Issues

log = logging.getLogger(__name__)

BATCH = 1000


async def drain(spool: Spool, issues: Issues) -> int | None:
    """Store what lies in the spool now; killed at any point, nothing is lost or counts twice.

    Returns:
        How many events were stored; None: another process reads the spool.

    Raises:
        UnavailableError: PostgreSQL does not answer; what is not stored stays in the spool.
    """
    with spool.draining() as reader:
        if reader is None:
            return None
        stored = 0
        while (done := await _segment(reader, issues)) is not None:
            stored += done
        return stored


async def _segment(reader: Drain, issues: Issues) -> int | None:
    segment = await asyncio.to_thread(reader.segment)
    if segment is None:
        return None
    stored = 0
    known = await issues.progress(reader.identity)
    offset = known[1] or 0 if known[0] == segment.name else 0
    while True:
        batch = await asyncio.to_thread(reader.batch, segment, offset, BATCH)
        if batch.torn:
            log.warning("the spool of issues: %d broken lines are left out", batch.torn)
        if not batch.events:
            break
        place = Place(reader.identity, *known, segment.name, batch.end)
        if await issues.ingest(batch.events, place) is None:
            # Only possible where two folders share an identity: a copied disk, say.
            log.error("the spool of issues is read elsewhere, too; remove its file identity")
            return None
        stored += len(batch.events)
        known, offset = (segment.name, batch.end), batch.end
    await asyncio.to_thread(reader.done, segment)
    return stored
