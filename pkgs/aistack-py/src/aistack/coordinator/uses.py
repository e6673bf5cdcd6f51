"""Counts what augment serves, in batches: an answer does not wait for a write."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from aistack.coordinator import value
from aistack.coordinator.value import Counters, Parts
from aistack.errors import AistackError
from aistack.kit import tasks
from aistack.settings.schema import Learning
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_PAUSE_S = 2.0
"""What is counted waits so long for more; a kill loses at most this."""
_MOST = 1000
"""Solutions in one transaction."""


class Uses:
    """How often solutions were served since the last write, and the task that writes it."""

    def __init__(self, postgres: Postgres, settings: Learning) -> None:
        self._postgres = postgres
        self._settings = settings
        self._counted: Counter[UUID] = Counter()
        self._last = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None

    def count(self, solutions: Iterable[UUID]) -> None:
        """Count each of the solutions once; it is written soon."""
        self._counted.update(solutions)
        self._last = datetime.now(UTC)
        if self._counted and self._task is None:
            self._task = asyncio.create_task(self._later(), name="solution uses")

    async def close(self) -> None:
        """Write what is counted and end the task."""
        if self._task is not None:
            await tasks.end(self._task)
        await self._try()

    async def _later(self) -> None:
        while self._counted:
            await asyncio.sleep(_PAUSE_S)
            await self._try()
        self._task = None

    async def _try(self) -> None:
        try:
            await self.flush()
        except AistackError as exc:
            log.warning("uses of solutions wait: %s", exc.detail)

    async def flush(self) -> None:
        """Write everything that is counted now.

        Raises:
            UnavailableError: the database does not answer; what is counted stays counted.
        """
        taken, self._counted = self._counted, Counter()
        at = self._last
        try:
            ids = sorted(taken)
            for start in range(0, len(ids), _MOST):
                batch = ids[start : start + _MOST]
                await self._write({i: taken[i] for i in batch}, at)
                for done in batch:
                    del taken[done]
        finally:
            self._counted.update(taken)

    async def _write(self, served: dict[UUID, int], at: datetime) -> None:
        async with self._postgres.transaction() as conn:
            rows = await (
                await conn.execute(_QUERIES["lock_used"], {"ids": list(served)})
            ).fetchall()
            for row in rows:
                uses = row["uses"] + served[row["id"]]
                old = msgspec.convert(row["parts"], Parts)
                counters = msgspec.convert(row | {"uses": uses}, Counters)
                parts, fresh = value.rescored(old, counters, self._settings.weights)
                values = {
                    "id": row["id"],
                    "uses": uses,
                    "at": at,
                    "value": fresh,
                    "parts": Jsonb(msgspec.to_builtins(parts)),
                }
                await conn.execute(_QUERIES["count_used"], values)
