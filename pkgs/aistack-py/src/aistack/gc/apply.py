"""Applies a plan, some steps in a transaction. It decides nothing; it only leaves out.

Killed at any point, the batches before are done whole and the next run plans the rest. What has
changed since it was judged is left to the next run, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import Any

from psycopg.types.json import Jsonb

from aistack.coordinator.model import COLLECTION
from aistack.coordinator.trash import Discard, Trash
from aistack.errors import UnavailableError
from aistack.gc.model import Action, Step
from aistack.knowledge.documents import Documents
from aistack.knowledge.vectors import Vectors
from aistack.screening.screen import ScreenedError
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.gc", "gc.sql")
_BATCH = 100
_TRIES = 3
_REST = 0.1
"""Of the time that a batch took."""
_LONGEST_PAUSE_S = 1.0


class Applier:
    """Does what a plan says, in the name of a run."""

    def __init__(
        self, postgres: Postgres, vectors: Vectors, documents: Documents, trash: Trash
    ) -> None:
        self._postgres = postgres
        self._vectors = vectors
        self._documents = documents
        self._trash = trash

    async def apply(
        self, run: int, steps: Iterable[Step], still: Callable[[], Awaitable[None]]
    ) -> int:
        """Do all steps.

        Args:
            run: the run in whose name.
            steps: of a plan, in order.
            still: called before each batch; raises where the run may not go on.

        Returns:
            How many steps were left out.
        """
        unchanged = 0
        for action, batch in _batches(steps):
            await still()
            start = perf_counter()
            unchanged += len(batch) - await self._retried(run, action, batch)
            # Questions are answered meanwhile, and the indexer follows.
            await asyncio.sleep(min(_LONGEST_PAUSE_S, _REST * (perf_counter() - start)))
        return unchanged

    async def _retried(self, run: int, action: Action, batch: list[Step]) -> int:
        for attempt in range(_TRIES):
            try:
                return await self._batch(run, action, batch)
            except UnavailableError as exc:
                # A deadlock with a writer, or a server that is restarted: a batch is all or
                # nothing, so it can be tried again.
                if attempt == _TRIES - 1:
                    raise
                log.warning("garbage collection: %s; trying again", exc.detail)
                await asyncio.sleep(exc.retry_after_s)
        return 0

    async def _batch(self, run: int, action: Action, batch: list[Step]) -> int:
        """Do some steps of one kind; returns how many were not left out."""
        match action:
            case "discard":
                return await self._discard(run, batch)
            case "drop_point":
                return await self._drop(run, batch)
            case "reindex_document":
                return await self._reindex(batch)
            case "make_searchable":
                return sum([await self._make_searchable(step) for step in batch])

    async def _discard(self, run: int, batch: list[Step]) -> int:
        discards = [
            Discard(step.subject, step.reason, step.seen, step.keeper)
            for step in batch
            if step.seen is not None
        ]
        async with self._postgres.transaction() as conn:
            gone = {d.id for d in await self._trash.put_away(conn, run, discards)}
            await _record(conn, run, [step for step in batch if step.subject in gone])
        return len(gone)

    async def _reindex(self, batch: list[Step]) -> int:
        async with self._postgres.transaction() as conn:
            documents = sorted(step.subject for step in batch)
            await self._documents.reindex_within(conn, COLLECTION, documents)
        return len(batch)

    async def _drop(self, run: int, batch: list[Step]) -> int:
        """Points go from the index when the record of it is safe; one more look comes first."""
        async with self._postgres.transaction() as conn:
            values: dict[str, Any] = {"ids": [step.subject for step in batch]}
            rows = await (await conn.execute(_QUERIES["still_orphans"], values)).fetchall()
            orphans = {row["id"] for row in rows}
            gone = [step for step in batch if step.subject in orphans]
            await _record(conn, run, gone)
        index = gone[0].index if gone else None
        if index is not None and await self._vectors.exists(index):
            await self._vectors.delete(index, [str(step.subject) for step in gone])
        return len(gone)

    async def _make_searchable(self, step: Step) -> bool:
        try:
            async with self._postgres.transaction() as conn:
                return await self._trash.make_searchable(conn, step.subject)
        except ScreenedError as exc:
            log.warning("solution %s stays out of search: %s", step.subject, exc.detail)
            return False


async def _record(conn: Connection, run: int, steps: Sequence[Step]) -> None:
    """Write down what goes, and count it: once, also where a batch is tried again."""
    values = {
        "run": run,
        "subjects": [step.subject for step in steps],
        "reasons": [step.reason for step in steps],
        "evidence": [Jsonb(step.evidence) for step in steps],
        "keepers": [step.keeper for step in steps],
    }
    await conn.execute(_QUERIES["record_deletions"], values)


def _batches(steps: Iterable[Step]) -> Iterator[tuple[Action, list[Step]]]:
    """Steps in order, as many of one action and index as go together."""
    batch: list[Step] = []
    for step in steps:
        same = batch and (batch[0].action, batch[0].index) == (step.action, step.index)
        if batch and (not same or len(batch) == _BATCH):
            yield batch[0].action, batch
            batch = []
        batch.append(step)
    if batch:
        yield batch[0].action, batch
