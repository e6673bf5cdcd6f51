"""Collections: the six that always exist, the declared ones, and those made by the API."""

import re
from functools import partial
from typing import Any

import msgspec

from aistack.access.model import Principal
from aistack.errors import ConflictError, InvalidError, NotFoundError
from aistack.kit.cached import Cached
from aistack.kit.text import clean
from aistack.knowledge.model import Collection
from aistack.settings.names import IDENTIFIER_PATTERN
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "knowledge.sql")
_DESCRIPTION_BYTES = 1000
_COUNTED_S = 5.0
"""How old counts may be, where counting takes no more than half a second."""

Row = dict[str, Any]
Counts = dict[str, Row]
"""Collection to how many documents and passages it has."""


class Collections:
    """The collections of one database."""

    def __init__(self, postgres: Postgres, settings: Settings) -> None:
        self._postgres = postgres
        self._settings = settings
        self._counted: dict[str | None, Cached[Counts]] = {}
        """By collection; None: of all."""

    async def ensure(self) -> None:
        """Make the configured collections; never deletes one."""
        async with self._postgres.transaction() as conn:
            for name, options in sorted(self._settings.all_collections().items()):
                values = {"name": name, "description": options.description}
                await conn.execute(_QUERIES["create_collection"], values)
                await conn.execute(_QUERIES["describe_collection"], values)
            await conn.execute(_QUERIES["notify"])

    async def list(self, principal: Principal) -> list[Collection]:
        """The collections that the caller may know of, by name."""
        principal.require("read")
        rows = await self._postgres.fetch(_QUERIES["collections"], {"name": None})
        counts = await self._counts(None)
        return [_collection(row, counts) for row in rows if principal.sees(row["name"])]

    async def get(self, principal: Principal, name: str) -> Collection:
        """One collection; raises `NotFoundError`, also for one that the caller may not see."""
        principal.require("read")
        principal.require_collection(name)
        rows = await self._postgres.fetch(_QUERIES["collections"], {"name": name})
        if not rows:
            raise NotFoundError("no such collection")
        return _collection(rows[0], await self._counts(name))

    async def _counts(self, name: str | None) -> Counts:
        known = self._counted.get(name)
        if known is None:
            known = self._counted[name] = Cached(partial(self._count, name), _COUNTED_S)
        return await known.value()

    async def _count(self, name: str | None) -> Counts:
        rows = await self._postgres.fetch(_QUERIES["count_collections"], {"name": name})
        return {row["name"]: row for row in rows}

    async def create(self, principal: Principal, name: str, description: str = "") -> Collection:
        """Make a collection; raises `ConflictError` if it exists."""
        principal.require("admin")
        principal.require_collection(name)
        if not re.match(IDENTIFIER_PATTERN, name):
            raise InvalidError("not a name for a collection", pointer="/name")
        text = clean(description, field="description", max_bytes=_DESCRIPTION_BYTES)
        async with self._postgres.transaction() as conn:
            values = {"name": name, "description": text}
            made = await conn.execute(_QUERIES["create_collection"], values)
            if made.rowcount == 0:
                raise ConflictError("the collection exists already")
            await conn.execute(_QUERIES["notify"])
        # Nothing is counted, or its first documents would be seen late.
        return Collection(name, text, documents=0, chunks=0, pending=0, dense=False)

    async def delete(self, principal: Principal, name: str) -> None:
        """Delete a collection with all its documents.

        Raises:
            ConflictError: the settings declare it, so that it would come back at the next start.
        """
        principal.require("admin")
        principal.require_collection(name)
        if name in self._settings.all_collections():
            raise ConflictError("the settings declare this collection (collections)")
        async with self._postgres.transaction(whole=True) as conn:
            owned = await conn.execute(_QUERIES["own_collection"], {"name": name})
            if await owned.fetchone() is None:
                raise NotFoundError("no such collection")
            await conn.execute(_QUERIES["delete_collection"], {"name": name})
            await conn.execute(_QUERIES["notify"])
        self._counted.clear()  # one of the same name may come


def _collection(row: Row, counts: Counts) -> Collection:
    # One that was made since they were counted has none that matter.
    return msgspec.convert(
        {"documents": 0, "chunks": 0} | counts.get(row["name"], {}) | row, Collection
    )
