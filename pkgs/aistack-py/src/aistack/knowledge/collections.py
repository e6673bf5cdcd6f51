"""Collections: the six that always exist, the declared ones, and those made by the API."""

import re

import msgspec

from aistack.access.model import Principal
from aistack.errors import ConflictError, InvalidError, NotFoundError
from aistack.kit.text import clean
from aistack.knowledge.model import Collection
from aistack.settings.names import IDENTIFIER_PATTERN
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "knowledge.sql")
_DESCRIPTION_BYTES = 1000


class Collections:
    """The collections of one database."""

    def __init__(self, postgres: Postgres, settings: Settings) -> None:
        self._postgres = postgres
        self._settings = settings

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
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["collections"], {"name": None})).fetchall()
        return msgspec.convert([r for r in rows if principal.sees(r["name"])], list[Collection])

    async def get(self, principal: Principal, name: str) -> Collection:
        """One collection; raises `NotFoundError`, also for one that the caller may not see."""
        principal.require("read")
        principal.require_collection(name)
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["collections"], {"name": name})).fetchone()
        if row is None:
            raise NotFoundError("no such collection")
        return msgspec.convert(row, Collection)

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
        return await self.get(principal, name)

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
