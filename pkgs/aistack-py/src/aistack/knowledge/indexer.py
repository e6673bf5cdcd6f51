"""The one indexer: drains the outbox into Qdrant. Safe to kill at any point.

All workers of all hosts run one; an advisory lock in PostgreSQL lets a single one work, so that
writes to the index have one order. An outbox row goes away in the same transaction that makes the
document visible: what was killed before is simply done again, and a point written twice is one.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from aistack.errors import AistackError, ConfigError, UnavailableError
from aistack.knowledge import bm25, kept_vectors, vectors
from aistack.knowledge.embed import Embedder
from aistack.knowledge.generations import Generation, Generations
from aistack.knowledge.terms import terms
from aistack.monitoring.metrics import Metrics
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.knowledge", "index.sql")
_LOCK = 0x696E6478
"""Any constant; with the database it names the right to write to the index."""
_BATCH = 32
"""Documents a round: a kill repeats at most this many."""
_POLL_S = 2.0
"""A NOTIFY can be lost with its connection; polling finds what it announced."""
_REPAIR_S = 60.0
"""How often Qdrant is asked what it has: an index that was lost is missed after this at most."""
_COUNT_S = 5.0
"""How often the backlog is counted while there is one: the count takes as long as it is."""
_LONGEST_PAUSE_S = 60.0
"""What an endpoint asks us to wait is heeded up to this: other stores may be well by then."""

Row = dict[str, Any]
Still = Callable[[], Awaitable[None]]
"""Asks whether the lock still is held; raises `_LostError` where it is not."""


class _LostError(UnavailableError):
    """The lock went with its connection: by now another process may write to the index."""


class Indexer:
    """Brings the index to what PostgreSQL says."""

    def __init__(
        self,
        postgres: Postgres,
        qdrant: vectors.Vectors,
        embedder: Embedder,
        generations: Generations,
        metrics: Metrics,
    ) -> None:
        self._postgres = postgres
        self._vectors = qdrant
        self._embedder = embedder
        self._generations = generations
        self._metrics = metrics
        self._counted = -math.inf
        """When the backlog was counted last, by the monotonic clock."""
        self._looked = -math.inf
        """When Qdrant was asked last what it has, by the same."""
        self._made: set[int] = set()
        """Generations whose index Qdrant had then, or has got since."""
        self._last = 0
        """The generation whose turn was last."""

    async def run(self) -> None:
        """Work until cancelled; errors are counted, logged and waited out."""
        while True:
            pause = _POLL_S
            try:
                await self._with_lock(forever=True)
            except Exception as exc:  # whatever it was, nobody else would index
                self._metrics.index_errors.inc()
                if isinstance(exc, (AistackError, OSError)):
                    log.warning("indexer: %s; trying again", exc)
                else:
                    log.exception("indexer: unexpected error; trying again")
                if isinstance(exc, UnavailableError):
                    pause = min(max(_POLL_S, exc.retry_after_s), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def drain(self) -> bool:
        """Work until nothing is due; False if another process holds the lock and does it."""
        return await self._with_lock(forever=False)

    async def backlog(self, collection: str | None = None) -> tuple[int, int]:
        """Documents that wait for the index, and how many of them failed before."""
        async with self._postgres.read() as conn:
            values = {"collection": collection}
            row = await (await conn.execute(_QUERIES["backlog_of"], values)).fetchone() or {}
        return row.get("pending", 0), row.get("failing", 0)

    async def lag(self) -> tuple[int, int, float]:
        """Documents that wait, how many of them failed before, and how long the first has waited.

        Seconds; 0 where none is due. Asked outside of the pool, which may be taken by requests.
        """
        async with self._postgres.dedicated() as conn:
            found = await conn.execute(_QUERIES["backlog_of"], {"collection": None})
            row = await found.fetchone() or {}
        return row.get("pending", 0), row.get("failing", 0), row.get("longest", 0.0)

    async def _with_lock(self, *, forever: bool) -> bool:
        async with self._postgres.dedicated() as conn:
            row = await (await conn.execute(_QUERIES["take_lock"], {"lock": _LOCK})).fetchone()
            if not (row and row["taken"]):
                return False
            still = _holder(conn)
            await conn.execute(_QUERIES["listen"])
            self._looked = -math.inf  # another may have worked meanwhile, or something failed
            while True:
                await self._count(every_s=_COUNT_S)
                await self._look()
                worked = await self._round(still)
                if worked:
                    continue
                if not forever:
                    await self._count(every_s=0)
                    # Closing the connection frees it too, but at a time of the server's choosing.
                    await conn.execute(_QUERIES["release_lock"], {"lock": _LOCK})
                    return True
                idle = True
                async for _ in conn.notifies(timeout=_POLL_S, stop_after=1):
                    idle = False
                if idle:
                    await self._count(every_s=0)

    async def _look(self) -> None:
        """Find out now and then which indexes Qdrant has; the others are made in their turn.

        Not only when nothing else is to be done: where something always is, that never comes.
        """
        now = time.monotonic()
        if now - self._looked < _REPAIR_S:
            return
        names = await self._vectors.names()
        self._made = {g.id for g in await self._generations.all() if g.index_name in names}
        self._looked = now

    async def _prepare(self, generation: Generation) -> None:
        """Make a generation's index where Qdrant has none: it is derived data."""
        if await self._vectors.exists(generation.index_name):
            await self._vectors.complete(generation.index_name)
        else:
            # Lost, or never made: both are put right by filling it from PostgreSQL. Due first,
            # made second: a kill in between leaves it lost, and so found again.
            async with self._postgres.transaction(whole=True) as conn:
                await conn.execute(
                    _QUERIES["enqueue_all"],
                    {"generation": generation.id, "collection": generation.collection},
                )
            await self._vectors.create(generation.index_name, generation.dimension)
        self._made.add(generation.id)

    async def _round(self, still: Still) -> bool:
        """One batch of each generation that has one; whether there was anything to do."""
        await self._generations.ensure()
        worked = False
        away: UnavailableError | None = None
        for generation in await self._generations.at_work(made=self._made, after=self._last):
            self._last = generation.id
            try:
                await still()
                worked = await self._advance(generation, still) or worked
            except _LostError:
                raise
            except UnavailableError as exc:
                away = exc  # the next generation may do without what is away: it may be lexical
        if away is not None and not worked:
            raise away
        return worked

    async def _count(self, *, every_s: float) -> None:
        """Tell the metrics how much waits, unless they were told less than so many seconds ago."""
        now = time.monotonic()
        if now - self._counted < every_s:
            return
        self._counted = now
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["backlog"])).fetchone()
        self._metrics.pending.set(row["pending"] if row else 0)

    async def _advance(self, generation: Generation, still: Still) -> bool:
        """One batch, or one step of its life; whether there was anything to do."""
        if generation.state == "retired":
            await self._vectors.drop(generation.index_name)
            await self._generations.forget(generation)
            return False
        await self._prepare(generation)
        rows = await self._due(generation)
        if rows:
            return await self._batch(generation, rows, still)
        if generation.state == "building":
            return await self._generations.finish_rebuild(generation)
        return False

    async def _due(self, generation: Generation) -> list[Row]:
        values = {"generation": generation.id, "limit": _BATCH}
        async with self._postgres.read() as conn:
            return await (await conn.execute(_QUERIES["due"], values)).fetchall()

    async def _batch(self, generation: Generation, rows: Sequence[Row], still: Still) -> bool:
        """Index a batch; if it fails for a document's sake, each of it alone.

        Raises:
            UnavailableError: a store or the endpoint is away: no document is to blame.
        """
        try:
            await self._push(generation, rows, still)
        except UnavailableError:
            raise
        except Exception as exc:
            if len(rows) > 1:
                return any([await self._batch(generation, [row], still) for row in rows])
            self._metrics.index_failures.inc()
            log.exception("indexing failed", extra={"document": str(rows[0]["document_id"])})
            error = exc.detail if isinstance(exc, AistackError) else type(exc).__name__
            await self._fail(rows[0], error)
            return False
        self._metrics.indexed.inc(len(rows))
        return True

    async def _push(self, generation: Generation, rows: Sequence[Row], still: Still) -> None:
        ids = [row["document_id"] for row in rows]
        async with self._postgres.transaction() as conn:
            # One snapshot for both reads: chunks of the revision that the document row has.
            await conn.execute("set transaction isolation level repeatable read, read only")
            documents = await (await conn.execute(_QUERIES["documents"], {"ids": ids})).fetchall()
            chunks = await (await conn.execute(_QUERIES["chunks"], {"ids": ids})).fetchall()
        by_id = {d["id"]: d for d in documents}
        texts = [_text(by_id[c["document_id"]], c) for c in chunks]
        dense = await self._embeddings(generation, texts)
        payloads = {d["id"]: vectors.payload(d) for d in documents}
        points = [
            vectors.Point(
                id=chunk["id"],
                lexical=bm25.passage_vector(terms(text), avgdl=generation.avgdl),
                dense=dense[number] if dense else None,
                payload=payloads[chunk["document_id"]],
            )
            for number, (chunk, text) in enumerate(zip(chunks, texts, strict=True))
        ]
        await still()  # to embed can take minutes
        await self._vectors.upsert(generation.index_name, points)
        current = {str(i): by_id[i]["revision"] if i in by_id else None for i in ids}
        # A document's first revision has nothing older; skipping it halves the calls of an import.
        stale = {i: revision for i, revision in current.items() if revision != 1}
        await still()  # what is stale to us may be newer than ours: another's
        await self._vectors.delete_stale(generation.index_name, stale)
        await self._publish(generation, rows, by_id)

    async def _publish(
        self, generation: Generation, rows: Sequence[Row], by_id: dict[UUID, Row]
    ) -> None:
        """Make the batch visible and take it off the outbox, all at once."""
        async with self._postgres.transaction() as conn:
            for row in sorted(rows, key=lambda r: str(r["document_id"])):
                document = by_id.get(row["document_id"])
                if document is not None and generation.state == "live":
                    await conn.execute(_QUERIES["publish"], document)
                    await conn.execute(_QUERIES["drop_replaced_chunks"], document)
                await conn.execute(_QUERIES["done"], row | {"id": row["document_id"]})

    async def _fail(self, row: Row, error: str) -> None:
        async with self._postgres.transaction() as conn:
            values = row | {"id": row["document_id"], "error": error[:500]}
            await conn.execute(_QUERIES["failed"], values)

    async def _embeddings(self, generation: Generation, texts: list[str]) -> list[bytes] | None:
        """A packed vector a text; None for a lexical generation."""
        model = generation.model
        if model is None:
            return None
        if (model, generation.dimension) != (self._embedder.model, self._embedder.dimension):
            raise ConfigError(
                f"{generation.collection} holds embeddings of {model}, the settings say "
                f"{self._embedder.model or 'none'}; run aistack reindex {generation.collection}"
            )
        return await kept_vectors.of(self._postgres, self._embedder, model, texts)


def _holder(conn: Connection) -> Still:
    async def still() -> None:
        try:
            await conn.execute("select 1")
        except psycopg.Error as exc:
            raise _LostError("the connection that holds the indexer's lock is gone") from exc

    return still


def _text(document: Row, chunk: Row) -> str:
    """What is indexed of a passage: the words around it count, too."""
    return f"{document['title']}\n{chunk['heading']}\n{chunk['text']}"
