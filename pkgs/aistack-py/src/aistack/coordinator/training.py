"""Training data: judged interactions as JSON lines, oldest first."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec

from aistack.access.model import Principal
from aistack.coordinator.model import (
    COLLECTION,
    Example,
    ExampleInfo,
    ExamplePage,
    Message,
    TrainingPageQuery,
    TrainingQuery,
)
from aistack.coordinator.pages import Cursors, Place
from aistack.errors import UnavailableError
from aistack.kit.signing import Signer
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_BATCH = 50
"""Rows that are held at once."""
_EXPORTS = 2
"""Exports at once in a process: each holds a connection of its own, outside the pool."""
_STALLED_MS = 60_000
"""A client that reads nothing for so long must not hold a snapshot open in the database."""
_ALL = 2**62

Row = dict[str, Any]


class Training:
    """The training data of one database."""

    def __init__(self, postgres: Postgres, signer: Signer) -> None:
        self._postgres = postgres
        self._cursors = Cursors(signer, "training")
        self._free = asyncio.Semaphore(_EXPORTS)

    async def export(self, principal: Principal, query: TrainingQuery) -> AsyncIterator[bytes]:
        """All examples as JSON lines, by time and id, as the database was at the start.

        Returns:
            The lines in chunks; their query has begun, so that what fails does so here.

        Raises:
            UnavailableError: the database does not answer, or enough exports are under way.
        """
        principal.require("admin")
        if self._free.locked():
            raise UnavailableError("other exports are under way", retry_after_s=30)
        chunks = self._chunks(principal, query)
        first = await anext(chunks, b"")
        return _with_first(first, chunks)

    async def _chunks(self, principal: Principal, query: TrainingQuery) -> AsyncIterator[bytes]:
        async with self._free, self._postgres.dedicated() as conn, conn.transaction():
            await conn.execute(
                "select set_config('idle_in_transaction_session_timeout', %(ms)s, true)",
                {"ms": str(_STALLED_MS)},
            )
            async with conn.cursor(name="training") as cursor:
                cursor.itersize = _BATCH
                await cursor.execute(_QUERIES["training"], _values(principal, query, None, _ALL))
                while rows := await cursor.fetchmany(_BATCH):
                    yield b"".join(
                        msgspec.json.encode(_example(principal, r)) + b"\n" for r in rows
                    )

    async def page(self, principal: Principal, query: TrainingPageQuery) -> ExamplePage:
        """Some examples, for a client that cannot read a stream."""
        principal.require("admin")
        after = self._cursors.read(query.cursor)
        values = _values(principal, query, after, query.limit + 1)
        rows = await self._postgres.fetch(_QUERIES["training"], values)
        page, more = rows[: query.limit], len(rows) > query.limit
        return ExamplePage(
            [_example(principal, row) for row in page],
            has_more=more,
            next_cursor=self._cursors.write(page[-1]) if more else None,
        )


async def _with_first(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):  # type: ignore[type-var]  # it is a generator
        if first:
            yield first
        async for chunk in rest:
            yield chunk


def _values(principal: Principal, query: TrainingQuery, after: Place | None, limit: int) -> Row:
    return {
        "min_value": query.min_value,
        "outcome": query.outcome,
        "since": query.since,
        "created_by": None if principal.collections is None else principal.key_id,
        "after": after[0] if after else None,
        "after_id": after[1] if after else None,
        "limit": limit,
    }


def _example(principal: Principal, row: Row) -> Example:
    visible = row if principal.sees(COLLECTION) else row | {"solution_id": None}
    messages = [Message("user", row["question"]), Message("assistant", row["response"])]
    return Example(messages, msgspec.convert(visible, ExampleInfo))
