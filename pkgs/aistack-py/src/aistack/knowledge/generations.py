"""Generations of the index: made, rebuilt beside the live one, swapped, retired."""

import secrets
from collections.abc import Collection

import msgspec
from msgspec import Struct

from aistack.errors import NotFoundError
from aistack.knowledge import bm25
from aistack.knowledge.embed import Embedder
from aistack.knowledge.terms import terms
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "knowledge.sql") | load_queries(
    "aistack.knowledge", "index.sql"
)


class Generation(Struct, frozen=True):
    """One build of a collection's index."""

    id: int
    collection: str
    state: str
    index_name: str
    model: str | None
    dimension: int | None
    avgdl: float
    """Terms of an average passage when the build began: part of every weight in it."""


class Generations:
    """The table of generations; never speaks to Qdrant."""

    def __init__(self, postgres: Postgres, embedder: Embedder, prefix: str) -> None:
        self._postgres = postgres
        self._embedder = embedder
        self._prefix = prefix

    async def all(self) -> list[Generation]:
        """Every generation, oldest first."""
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["generations"])).fetchall()
        return msgspec.convert(rows, list[Generation])

    async def at_work(self, *, made: Collection[int], after: int) -> list[Generation]:
        """Generations with something to do, in turns.

        Args:
            made: those that Qdrant has for sure; all others have their index to be made.
            after: whose turn was last; the next one is first.
        """
        values = {"made": sorted(made), "after": after}
        rows = await self._postgres.fetch(_QUERIES["generations_at_work"], values)
        return msgspec.convert(rows, list[Generation])

    async def ensure(self) -> None:
        """Give every collection that has none its first generation."""
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["collections_without_generation"])).fetchall()
        for row in rows:
            async with self._postgres.transaction(whole=True) as conn:
                # Other processes start too: who has the collection alone looks once more.
                await conn.execute(_QUERIES["own_collection"], row)
                found = await conn.execute(_QUERIES["collections_without_generation"])
                if row in await found.fetchall():
                    await self._insert(conn, row["name"], "live")

    async def begin_rebuild(self, collection: str) -> int:
        """Start a new generation with every document due for it; returns its id.

        A rebuild that is under way is thrown away: the new one takes today's settings.
        """
        async with self._postgres.transaction(whole=True) as conn:
            owned = await conn.execute(_QUERIES["own_collection"], {"name": collection})
            if await owned.fetchone() is None:
                raise NotFoundError("no such collection")
            await conn.execute(_QUERIES["retire"], {"collection": collection, "state": "building"})
            generation = await self._insert(conn, collection, "building")
            await conn.execute(_QUERIES["notify"])
        return generation

    async def finish_rebuild(self, generation: Generation) -> bool:
        """Make a built generation the live one, if nothing is due for it any more."""
        values = {"collection": generation.collection, "id": generation.id}
        async with self._postgres.transaction(whole=True) as conn:
            # Writers share this row: none can slip in between the look and the swap.
            await conn.execute(_QUERIES["own_collection"], {"name": generation.collection})
            due = await conn.execute(_QUERIES["waiting"], {"generation": generation.id})
            row = await due.fetchone()
            if row is None or row["pending"]:
                return False
            await conn.execute(_QUERIES["retire"], values | {"state": "live"})
            await conn.execute(_QUERIES["make_live"], values)
            await conn.execute(_QUERIES["settle_documents"], values)
            await conn.execute(_QUERIES["drop_old_chunks"], values)
        return True

    async def forget(self, generation: Generation) -> None:
        """Delete a retired generation's row, after its Qdrant collection."""
        async with self._postgres.transaction(whole=True) as conn:
            await conn.execute(_QUERIES["forget_generation"], {"id": generation.id})

    async def _insert(self, conn: Connection, collection: str, state: str) -> int:
        values = {
            "collection": collection,
            "state": state,
            "index_name": f"{self._prefix}-{collection}-{secrets.token_hex(4)}",
            "model": self._embedder.model,
            "dimension": self._embedder.dimension,
            "avgdl": await _average_length(conn, collection),
        }
        row = await (await conn.execute(_QUERIES["insert_generation"], values)).fetchone()
        generation = int((row or {})["id"])
        await conn.execute(
            _QUERIES["enqueue_all"], {"generation": generation, "collection": collection}
        )
        return generation


async def _average_length(conn: Connection, collection: str) -> float:
    rows = await (await conn.execute(_QUERIES["sample"], {"collection": collection})).fetchall()
    lengths = [terms(f"{r['title']}\n{r['heading']}\n{r['text']}").total() for r in rows]
    return max(1.0, sum(lengths) / len(lengths)) if lengths else bm25.DEFAULT_AVGDL
