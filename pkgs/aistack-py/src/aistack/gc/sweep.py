"""What else grows: the trash, interactions, dead outbox rows, audit rows, vectors of gone texts.

Sessions end by themselves: Redis keeps them for learning.session_ttl_s.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from aistack.coordinator.trash import Trash
from aistack.gc import embeddings
from aistack.gc.model import Sweep
from aistack.settings.schema import GarbageCollection
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "sweep.sql")
_BATCH = 500


class _Kind(Struct, frozen=True):
    name: str
    days: int


def _kinds(settings: GarbageCollection) -> list[_Kind]:
    kinds = [
        _Kind("trash", settings.trash_days),
        _Kind("outbox", 1),
        _Kind("key_events", settings.history_days),
        _Kind("history", settings.history_days),
        _Kind("embeddings", 1),
    ]
    if settings.interactions_days:
        kinds.insert(1, _Kind("interactions", settings.interactions_days))
    return kinds


async def count(postgres: Postgres, settings: GarbageCollection, now: datetime) -> list[Sweep]:
    """How many rows of each kind would go."""
    found = []
    for kind in _kinds(settings):
        before = now - timedelta(days=kind.days)
        if kind.name == "embeddings":
            number = sum([len(page) async for page in embeddings.unused(postgres, before)])
        else:
            rows = await postgres.fetch(_QUERIES[f"count_{kind.name}"], {"before": before})
            number = rows[0]["rows"]
        found.append(Sweep(kind.name, kind.days, number))
    return found


async def sweep(
    postgres: Postgres, trash: Trash, settings: GarbageCollection, now: datetime
) -> list[Sweep]:
    """Delete old rows, some in a transaction: killed half-way, the next run does the rest."""
    done = []
    for kind in _kinds(settings):
        before = now - timedelta(days=kind.days)
        if kind.name == "embeddings":
            number = await _sweep_embeddings(postgres, before)
        else:
            number = await _sweep_rows(postgres, trash, kind.name, before)
        done.append(Sweep(kind.name, kind.days, number))
    return done


async def _sweep_rows(postgres: Postgres, trash: Trash, name: str, before: datetime) -> int:
    values = {"before": before, "limit": _BATCH}
    number = 0
    while True:
        async with postgres.transaction() as conn:
            if name == "trash":
                rows = await (await conn.execute(_QUERIES["trash"], values)).fetchall()
                deleted = await trash.purge(conn, [row["id"] for row in rows])
            else:
                deleted = (await conn.execute(_QUERIES[name], values)).rowcount
        number += deleted
        if deleted < _BATCH:
            return number


async def _sweep_embeddings(postgres: Postgres, before: datetime) -> int:
    number = 0
    async for page in embeddings.unused(postgres, before):
        for start in range(0, len(page), _BATCH):
            async with postgres.transaction() as conn:
                number += await embeddings.delete(conn, page[start : start + _BATCH], before)
    return number
