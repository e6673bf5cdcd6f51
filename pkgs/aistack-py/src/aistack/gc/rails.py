"""When not to collect: where PostgreSQL does not look like the source of truth that it is."""

from qdrant_client.http.exceptions import UnexpectedResponse

from aistack.coordinator.model import COLLECTION, PROJECT
from aistack.errors import AistackError, UnavailableError
from aistack.knowledge.model import Filter
from aistack.knowledge.vectors import Vectors
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_SHRUNK = 0.5
"""The share of the last run's solutions below which something else took them."""


class RefusedError(AistackError):
    """Collecting now would perhaps take what a fault left; --force says that it was no fault."""

    code = "refused"


async def check(postgres: Postgres, vectors: Vectors, *, live: int, stored: int) -> None:
    """Check that the number of solutions can be believed.

    Args:
        postgres: knows what the last run left.
        vectors: the index.
        live: solutions outside of the trash.
        stored: all of them.

    Raises:
        RefusedError: the table is empty and the index is not, or half of it vanished.
    """
    rows = await postgres.fetch(_QUERIES["last_live"], {})
    before = rows[0]["live_after"] if rows else 0
    if live < before * _SHRUNK:
        raise RefusedError(
            f"PostgreSQL has {live} solutions; after the last run there were {before}. If it was "
            "you who deleted the others, run aistack gc run --force"
        )
    points = 0 if stored else await _points(postgres, vectors)
    if points:
        raise RefusedError(
            f"PostgreSQL has no solutions, but the index has {points} passages of some: is this "
            "the right database (postgres.dsn), restored whole? If so, run aistack gc run --force"
        )


async def _points(postgres: Postgres, vectors: Vectors) -> int:
    """Passages of solutions in the index; 0 where it is away: then none is deleted, either."""
    rows = await postgres.fetch(_QUERIES["live_index"], {"collection": COLLECTION})
    try:
        if not rows or not await vectors.exists(rows[0]["index_name"]):
            return 0
        return await vectors.count(rows[0]["index_name"], Filter(project=PROJECT))
    except (UnavailableError, UnexpectedResponse):
        return 0
