"""Brings a restored index and a restored PostgreSQL together: PostgreSQL is right.

They were not saved in the same instant, and PostgreSQL may have been restored to any second. What
is in one and not in the other is found by a walk over both.
"""

from uuid import UUID

from msgspec import Struct

from aistack.knowledge.vectors import Vectors
from aistack.stores.postgres import Postgres
from aistack.stores.snapshots import Snapshots
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.backup", "backup.sql")
_PAGE = 1000


class Reconciled(Struct, frozen=True):
    """What was put right."""

    dropped_collections: int
    dropped_points: int
    documents: int
    """That the running service indexes again."""


async def reconcile(postgres: Postgres, vectors: Vectors, snapshots: Snapshots) -> Reconciled:
    """Drop what PostgreSQL does not know, and make due for the index what it lacks.

    A collection that is not in the server at all is made anew by the running service.
    """
    generations = await postgres.fetch(_QUERIES["live_generations"], {})
    known = {one["index_name"] for one in generations}
    there = await snapshots.collections()
    strange = [name for name in there if name not in known]
    for name in strange:
        await snapshots.drop(name)
    points = documents = 0
    for one in generations:
        if one["index_name"] in there:
            points += await _drop(postgres, vectors, one["index_name"])
            documents += await _enqueue(postgres, vectors, one)
    return Reconciled(len(strange), points, documents)


async def rebuild(snapshots: Snapshots) -> int:
    """Drop every collection: the running service makes them anew from PostgreSQL."""
    names = await snapshots.collections()
    for name in names:
        await snapshots.drop(name)
    return len(names)


async def _drop(postgres: Postgres, vectors: Vectors, index: str) -> int:
    dropped = 0
    after: int | str | None = None
    while True:
        points, after = await vectors.scan(index, after, _PAGE)
        ours = [p.id for p in points if isinstance(p.id, str)]
        rows = await postgres.fetch(_QUERIES["drop_points"], {"ids": ours})
        if rows:
            await vectors.delete(index, [str(row["id"]) for row in rows])
            dropped += len(rows)
        if after is None:
            return dropped


async def _enqueue(postgres: Postgres, vectors: Vectors, generation: dict[str, object]) -> int:
    due: set[UUID] = set()
    values = {"collection": generation["collection"], "limit": _PAGE}
    async for rows in postgres.pages(_QUERIES["all_passages"], values):
        there = await vectors.present(
            str(generation["index_name"]), [str(row["id"]) for row in rows]
        )
        due |= {row["document_id"] for row in rows if str(row["id"]) not in there}
    async with postgres.transaction(whole=True) as connection:
        await connection.execute(
            _QUERIES["enqueue"], {"generation": generation["id"], "documents": sorted(due)}
        )
    return len(due)
