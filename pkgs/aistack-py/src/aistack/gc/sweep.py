"""What else grows: the trash, interactions, dead outbox rows, audit rows, vectors of gone texts.

Sessions end by themselves: Redis keeps them for learning.session_ttl_s.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from aistack.coordinator.trash import Trash
from aistack.gc import embeddings, totals
from aistack.gc.model import Sweep, SweepKind
from aistack.settings.schema import GarbageCollection
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "sweep.sql")
_BATCH = 500
_VECTOR_DAYS = 1
"""Of a vector whose text is gone: what is being stored or built anew may be about to ask for it."""


class _Kind(Struct, frozen=True):
    name: SweepKind
    days: int


def _kinds(settings: GarbageCollection) -> list[_Kind]:
    kinds = [
        _Kind("trash", settings.trash_days),
        _Kind("outbox", 1),
        _Kind("key_events", settings.history_days),
        _Kind("history", settings.history_days),
    ]
    if settings.interactions_days:
        kinds.insert(1, _Kind("interactions", settings.interactions_days))
    return kinds


async def count(postgres: Postgres, settings: GarbageCollection, now: datetime) -> list[Sweep]:
    """How many rows of each kind would go."""
    found = []
    for kind in _kinds(settings):
        values = {"before": now - timedelta(days=kind.days)}
        rows = await postgres.fetch(_QUERIES[f"count_{kind.name}"], values)
        found.append(Sweep(kind.name, kind.days, rows[0]["rows"]))
    gone = await embeddings.count(postgres, now - timedelta(days=_VECTOR_DAYS))
    return [*found, Sweep("embeddings", _VECTOR_DAYS, gone)]


async def sweep(
    postgres: Postgres, trash: Trash, settings: GarbageCollection, now: datetime
) -> list[Sweep]:
    """Delete old rows, some in a transaction: killed half-way, the next run does the rest."""
    done = []
    for kind in _kinds(settings):
        values = {"before": now - timedelta(days=kind.days), "limit": _BATCH}
        number = 0
        while True:
            async with postgres.transaction() as conn:
                if kind.name == "trash":
                    rows = await (await conn.execute(_QUERIES["trash"], values)).fetchall()
                    deleted = await trash.purge(conn, [row["id"] for row in rows])
                else:
                    deleted = (await conn.execute(_QUERIES[kind.name], values)).rowcount
                await totals.add(conn, "swept", kind.name, deleted)
            number += deleted
            if deleted < _BATCH:
                break
        done.append(Sweep(kind.name, kind.days, number))
    gone = await embeddings.sweep(postgres, now - timedelta(days=_VECTOR_DAYS), _BATCH)
    return [*done, Sweep("embeddings", _VECTOR_DAYS, gone)]
