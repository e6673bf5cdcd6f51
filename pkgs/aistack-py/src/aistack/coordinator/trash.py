"""Solutions put away, brought back, and in the end deleted.

A solution in the trash has no document, so search forgets it in the same transaction. A duplicate
goes with its counters counted in at the solution that stays; they are taken back with it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from aistack.coordinator import value
from aistack.coordinator.model import COLLECTION
from aistack.coordinator.solutions import EXAMPLE_CHARS, EXAMPLES, TAGS, searchable
from aistack.coordinator.value import Counters, Parts
from aistack.knowledge.documents import Documents
from aistack.settings.schema import Learning
from aistack.stores.postgres import Connection
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.coordinator", "trash.sql")

Row = dict[str, Any]


class Seen(Struct, frozen=True):
    """What a solution was when it was judged; another state must be judged anew."""

    value: float
    updated_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, row: Row) -> "Seen":
        """The state that a row of solutions tells."""
        return cls(row["value"], row["updated_at"], row["last_used_at"])


class Discard(Struct, frozen=True):
    """A solution that is to go."""

    id: UUID
    reason: str
    seen: Seen
    keeper: UUID | None = None
    """Of a duplicate: the solution that stays and takes over its counters."""


class Trash:
    """The trash of one database. Every method works inside the caller's transaction."""

    def __init__(self, documents: Documents, settings: Learning) -> None:
        self._documents = documents
        self._settings = settings

    async def put_away(
        self, conn: Connection, run: int, discards: Sequence[Discard]
    ) -> list[Discard]:
        """Put solutions into the trash, in the name of a run.

        Returns:
            Those that went: not one that is pinned, gone, or changed since it was judged, nor a
            duplicate whose keeper is gone.
        """
        ids = {d.id for d in discards} | {d.keeper for d in discards if d.keeper}
        rows = await self._locked(conn, ids)
        going: list[Discard] = []
        gone: set[UUID] = set()
        for one in discards:
            row = rows.get(one.id)
            if row is None or row["pinned"] or row["deleted_at"] is not None or one.id in gone:
                continue
            if Seen.of(row) != one.seen:
                continue
            if one.keeper is not None:
                keeper = rows.get(one.keeper)
                if keeper is None or keeper["deleted_at"] is not None or one.keeper in gone:
                    continue
                rows[one.keeper] = await self._absorb(conn, keeper, row)
            going.append(one)
            gone.add(one.id)
        values = {
            "ids": [d.id for d in going],
            "reasons": [d.reason for d in going],
            "keepers": [d.keeper for d in going],
            "run": run,
        }
        await conn.execute(_QUERIES["put_away"], values)
        documents = [rows[d.id]["document_id"] for d in going]
        await self._documents.delete_within(conn, COLLECTION, [d for d in documents if d])
        return going

    async def bring_back(self, conn: Connection, solution_id: UUID) -> bool:
        """Take a solution out of the trash, searchable again; False if it is not there.

        Raises `ScreenedError` where the settings refuse its text by now.
        """
        row = (await self._locked(conn, [solution_id])).get(solution_id)
        if row is None or row["deleted_at"] is None:
            return False
        ancestor = row["merged_into"]
        while ancestor is not None:
            above = (await self._locked(conn, [ancestor])).get(ancestor)
            if above is None:
                break
            await self._release(conn, above, row)
            ancestor = above["merged_into"]
        values = {"id": solution_id, "document_id": await self._document(conn, row)}
        await conn.execute(_QUERIES["bring_back"], values)
        return True

    async def make_searchable(self, conn: Connection, solution_id: UUID) -> bool:
        """Give a solution that lost its document a new one; False if it needs none."""
        row = (await self._locked(conn, [solution_id])).get(solution_id)
        if row is None or row["deleted_at"] is not None or row["document_id"] is not None:
            return False
        values = {"id": solution_id, "document_id": await self._document(conn, row)}
        await conn.execute(_QUERIES["set_document"], values)
        return True

    async def purge(self, conn: Connection, ids: Sequence[UUID]) -> int:
        """Delete solutions of the trash for good; what belonged to a duplicate goes to its keeper.

        Returns:
            How many there were.
        """
        for row in await (await conn.execute(_QUERIES["families"], {"ids": list(ids)})).fetchall():
            await conn.execute(_QUERIES["hand_on_interactions"], row)
            await conn.execute(_QUERIES["hand_on_children"], row)
        return (await conn.execute(_QUERIES["purge"], {"ids": list(ids)})).rowcount

    async def _locked(self, conn: Connection, ids: Iterable[UUID]) -> dict[UUID, Row]:
        found = await conn.execute(_QUERIES["lock"], {"ids": sorted(ids)})
        return {row["id"]: row for row in await found.fetchall()}

    async def _document(self, conn: Connection, row: Row) -> UUID:
        new = searchable(row["id"], row["question"], row["answer"], row["examples"], row["tags"])
        return await self._documents.put_within(conn, COLLECTION, new)

    async def _absorb(self, conn: Connection, keeper: Row, gone: Row) -> Row:
        """Count a duplicate's counters in, and keep its wording and tags."""
        wordings = [w for w in _wordings(gone) if w != keeper["question"][:EXAMPLE_CHARS]]
        used = [at for at in (keeper["last_used_at"], gone["last_used_at"]) if at is not None]
        merged = {
            "examples": list(dict.fromkeys([*wordings, *keeper["examples"]]))[:EXAMPLES],
            "tags": list(dict.fromkeys([*keeper["tags"], *gone["tags"]]))[:TAGS],
            "last_used_at": max(used, default=None),
        }
        return await self._recount(conn, keeper, merged, plus=_counters(gone))

    async def _release(self, conn: Connection, keeper: Row, back: Row) -> None:
        """Take back what `_absorb` did but for the tags, by the duplicate's counters of now."""
        wordings = _wordings(back)
        left = {"examples": [e for e in keeper["examples"] if e not in wordings]}
        await self._recount(conn, keeper, left, minus=_counters(back))

    async def _recount(
        self,
        conn: Connection,
        keeper: Row,
        changed: Row,
        *,
        minus: Counters = Counters(),  # noqa: B008 - frozen
        plus: Counters = Counters(),  # noqa: B008
    ) -> Row:
        counters = value.combined(_counters(keeper), minus, plus)
        before = msgspec.convert(keeper["parts"], Parts)
        parts, score = value.rescored(before, counters, self._settings.weights)
        fresh: Row = keeper | changed | msgspec.to_builtins(counters)
        fresh |= {"parts": msgspec.to_builtins(parts), "value": score}
        texts = any(fresh[name] != keeper[name] for name in ("examples", "tags"))
        if keeper["document_id"] is not None and texts:
            fresh["document_id"] = await self._document(conn, fresh)
        await conn.execute(_QUERIES["recount"], fresh | {"parts": Jsonb(fresh["parts"])})
        return fresh


def _counters(row: Row) -> Counters:
    return msgspec.convert(row, Counters)


def _wordings(row: Row) -> list[str]:
    """The ways in which a solution's question was asked."""
    return [row["question"][:EXAMPLE_CHARS], *row["examples"]]
