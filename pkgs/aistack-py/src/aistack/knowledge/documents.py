"""Documents: put, get, list, delete. PostgreSQL first; the outbox brings the index along."""

import asyncio
import contextvars
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from aistack.access.model import Principal
from aistack.errors import InvalidError, NotFoundError, PreconditionError, TooLargeError
from aistack.kit.signing import Signer
from aistack.kit.text import clean, composed
from aistack.knowledge import chunk, extract
from aistack.knowledge.model import Document, DocumentInfo, DocumentPage, NewDocument, PutResult
from aistack.screening.screen import Screen
from aistack.settings.schema import Settings
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "knowledge.sql")
_PATH_BYTES = 1024
_TITLE_BYTES = 1024
_METADATA_BYTES = 8192
_DELETE_AT_ONCE = 500
"""Documents a transaction when a project is deleted: locks and WAL stay small."""
_slow = ThreadPoolExecutor(max_workers=2, thread_name_prefix="documents")
"""Where documents are read that take long: never all threads that requests need, nor all memory.

A thread stays taken until it is done, also where its request was given up."""

Row = dict[str, Any]


class Documents:
    """The documents of all collections."""

    def __init__(
        self, postgres: Postgres, settings: Settings, signer: Signer, screen: Screen
    ) -> None:
        self._postgres = postgres
        self._settings = settings
        self._signer = signer
        self._screen = screen

    async def put(
        self,
        principal: Principal,
        collection: str,
        new: NewDocument,
        *,
        if_match: str | None = None,
        if_none_match: bool = False,
    ) -> PutResult:
        """Create or replace the document at (collection, project, path).

        The same source, title and metadata again change nothing.

        Raises:
            InvalidError: empty, binary, too large, or not readable as its media type.
            ScreenedError: it holds what validation.documents refuses.
            NotFoundError: no such collection.
            PreconditionError: ``if_match`` is not its ETag, or ``if_none_match`` and it exists.
        """
        principal.require("write")
        principal.require_collection(collection)
        row = await self._prepared(new)
        async with self._postgres.transaction() as conn:
            await _share_collection(conn, collection)
            row["collection"] = collection
            outcome, document_id = await self._store(conn, row, if_match, if_none_match)
            info = await _info(conn, document_id)
        return PutResult(info, outcome)

    async def put_within(self, conn: Connection, collection: str, new: NewDocument) -> UUID:
        """Create or replace a document inside the caller's transaction; returns its id.

        For parts of the stack that keep their own rows beside a document: rights are theirs to
        check. Raises as `put` does.
        """
        row = await self._prepared(new)
        await _share_collection(conn, collection)
        row["collection"] = collection
        _, document_id = await self._store(conn, row, None, if_none_match=False)
        return document_id

    async def delete_within(
        self, conn: Connection, collection: str, documents: Sequence[UUID]
    ) -> None:
        """Delete documents inside the caller's transaction; one that is gone stays gone.

        Rights are the caller's to check, as with `put_within`.
        """
        await _share_collection(conn, collection)
        await _delete(conn, collection, documents)

    async def reindex_within(
        self, conn: Connection, collection: str, documents: Sequence[UUID]
    ) -> None:
        """Have documents indexed once more, as they are; one that is gone leaves the index."""
        await _share_collection(conn, collection)
        await _enqueue(conn, collection, documents)

    async def _prepared(self, new: NewDocument) -> Row:
        if not extract.takes_long(new.path, new.content_type):
            return await asyncio.to_thread(self._prepare, new)
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_slow, context.run, self._prepare, new)

    def _prepare(self, new: NewDocument) -> Row:
        """Everything that needs no database: checks, extraction, chunks."""
        limits, chunking = self._settings.limits, self._settings.chunking
        if len(new.source) > limits.document_bytes:
            raise TooLargeError(
                f"the document has {len(new.source)} bytes; limits.document_bytes allows "
                f"{limits.document_bytes}",
                pointer="/content",
            )
        path = clean(new.path, field="path", max_bytes=_PATH_BYTES).strip()
        if not path or "\n" in path:
            raise InvalidError("the path must be one line of text", pointer="/path")
        if len(msgspec.json.encode(new.metadata)) > _METADATA_BYTES:
            raise TooLargeError(
                f"metadata is larger than {_METADATA_BYTES} bytes", pointer="/metadata"
            )
        found = extract.extract(
            new.source,
            path=path,
            content_type=new.content_type,
            most_bytes=extract.TEXT_TIMES * limits.document_bytes,
        )
        pieces = chunk.split(
            found.text, kind=found.kind, size=chunking.size, overlap=chunking.overlap
        )
        if not pieces:
            raise InvalidError("the document has no text", pointer="/content")
        title = clean(new.title or found.title, field="title", max_bytes=_TITLE_BYTES)
        metadata = {
            clean(k, field="metadata", max_bytes=256): clean(
                v, field="metadata", max_bytes=_METADATA_BYTES
            )
            if isinstance(v, str)
            else v
            for k, v in new.metadata.items()
        }
        self._screen.document(found.text)
        self._screen.document(title, "/title")
        self._screen.document(path, "/path")
        if metadata:
            # As lines of "key: value", so that a secret is known by its name.
            lines = "\n".join(f"{key}: {value}" for key, value in metadata.items())
            self._screen.document(lines, "/metadata")
        return {
            "project": new.project,
            "path": path,
            "title": title,
            "content_type": found.content_type,
            "checksum": hashlib.sha256(new.source).hexdigest(),
            "size_bytes": len(new.source),
            "plain_metadata": metadata,
            "metadata": Jsonb(metadata),
            "content": found.text,
            "headings": [piece.heading for piece in pieces],
            "texts": [piece.text for piece in pieces],
        }

    async def _store(
        self, conn: Connection, row: Row, if_match: str | None, if_none_match: bool
    ) -> tuple[Literal["created", "updated", "unchanged"], UUID]:
        old = await (await conn.execute(_QUERIES["find_document"], row)).fetchone()
        if old is None:
            if if_match is not None:
                raise PreconditionError("there is no such document to replace")
            fresh = await (await conn.execute(_QUERIES["insert_document"], row)).fetchone()
            if fresh is not None:
                await self._store_chunks(conn, row | fresh)
                return "created", fresh["id"]
            # Another request inserted it between our two statements; it has committed by now.
            old = await (await conn.execute(_QUERIES["find_document"], row)).fetchone()
            if old is None:
                raise PreconditionError("the document is being changed; try again")
        if if_none_match:
            raise PreconditionError("the document exists already")
        _match(if_match, old)
        same = all(old[k] == row[k] for k in ("checksum", "title", "content_type"))
        # As JSON: to Python 1 and True are the same, to a filter they are not.
        if same and _json(old["metadata"]) == _json(row["plain_metadata"]):
            return "unchanged", old["id"]
        new = await (
            await conn.execute(_QUERIES["update_document"], row | {"id": old["id"]})
        ).fetchone()
        await self._store_chunks(conn, row | (new or {}))
        return "updated", old["id"]

    async def _store_chunks(self, conn: Connection, row: Row) -> None:
        await conn.execute(_QUERIES["drop_unindexed_chunks"], row)
        await conn.execute(_QUERIES["insert_chunks"], row)
        await _enqueue(conn, row["collection"], [row["id"]])

    async def get(self, principal: Principal, id: UUID) -> Document:  # noqa: A002
        """One document with its text; raises `NotFoundError`."""
        principal.require("read")
        async with self._postgres.read() as conn:
            row = await (await conn.execute(_QUERIES["document"], {"id": id})).fetchone()
        if row is None or not principal.sees(row["collection"]):
            raise NotFoundError("no such document")
        return msgspec.convert(row, Document)

    async def list(
        self,
        principal: Principal,
        collection: str,
        *,
        project: str | None = None,
        under: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> DocumentPage:
        """A page of documents by project and path; ``under`` is a folder."""
        principal.require("read")
        principal.require_collection(collection)
        after = self._read_cursor(cursor)
        values = {
            "collection": collection,
            "project": project,
            "under": composed(under).rstrip("/") + "/" if under else None,
            "after_project": after[0] if after else None,
            "after_path": after[1] if after else None,
            "limit": limit + 1,
        }
        rows = await self._postgres.fetch(_QUERIES["list_documents"], values)
        (counted,) = await self._postgres.fetch(_QUERIES["count_documents"], values)
        if not counted["exists"]:
            raise NotFoundError("no such collection")
        page, more = rows[:limit], len(rows) > limit
        last = (page[-1]["project"], page[-1]["path"]) if more else None
        return DocumentPage(
            documents=msgspec.convert(page, list[DocumentInfo]),
            total=counted["total"],
            has_more=more,
            next_cursor=self._signer.sign(msgspec.msgpack.encode(last)) if last else None,
        )

    def _read_cursor(self, cursor: str | None) -> tuple[str, str] | None:
        if not cursor:
            return None
        try:
            return msgspec.msgpack.decode(self._signer.verify(cursor), type=tuple[str, str])
        except msgspec.DecodeError as exc:
            raise InvalidError("this cursor belongs to another listing") from exc

    async def delete(
        self,
        principal: Principal,
        id: UUID,  # noqa: A002 - the field's own name
        *,
        if_match: str | None = None,
    ) -> None:
        """Delete one document; search forgets it at once. Raises `NotFoundError`."""
        principal.require("write")
        async with self._postgres.transaction() as conn:
            old = await (await conn.execute(_QUERIES["lock_document"], {"id": id})).fetchone()
            if old is None or not principal.sees(old["collection"]):
                raise NotFoundError("no such document")
            _match(if_match, old)
            await _delete(conn, old["collection"], [id])

    async def delete_project(self, principal: Principal, collection: str, project: str) -> int:
        """Delete all documents of a project; returns how many there were.

        Killed half-way, it has deleted whole documents; run again it deletes the rest.
        """
        principal.require("write")
        principal.require_collection(collection)
        deleted = 0
        while True:
            async with self._postgres.transaction() as conn:
                await _share_collection(conn, collection)
                values = {"collection": collection, "project": project, "limit": _DELETE_AT_ONCE}
                query = _QUERIES["documents_of_project"]
                rows = await (await conn.execute(query, values)).fetchall()
                await _delete(conn, collection, [row["id"] for row in rows])
            deleted += len(rows)
            if len(rows) < _DELETE_AT_ONCE:
                return deleted

    async def checksums(
        self, principal: Principal, collection: str, project: str
    ) -> dict[str, str]:
        """Path to checksum of a project's documents: what an import need not send again."""
        principal.require("read")
        principal.require_collection(collection)
        values = {"collection": collection, "project": project}
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["checksums"], values)).fetchall()
        return {row["path"]: row["checksum"] for row in rows}


def etag(info: DocumentInfo) -> str:
    """The document's entity tag, without quotes: it changes with each revision."""
    return f"{info.id.hex}-{info.revision}"


def _match(if_match: str | None, row: Row) -> None:
    if if_match not in {None, "*", f"{row['id'].hex}-{row['revision']}"}:
        raise PreconditionError("the document has changed since; read it again")


def _json(metadata: dict[str, Any]) -> bytes:
    return msgspec.json.encode(metadata, order="deterministic")


async def _share_collection(conn: Connection, collection: str) -> None:
    found = await conn.execute(_QUERIES["share_collection"], {"name": collection})
    if await found.fetchone() is None:
        raise NotFoundError("no such collection")


async def _info(conn: Connection, document_id: UUID) -> DocumentInfo:
    row = await (await conn.execute(_QUERIES["document_info"], {"id": document_id})).fetchone()
    return msgspec.convert(row, DocumentInfo)


async def _delete(conn: Connection, collection: str, documents: Sequence[UUID]) -> None:
    await conn.execute(_QUERIES["delete_documents"], {"ids": list(documents)})
    await _enqueue(conn, collection, documents)


async def _enqueue(conn: Connection, collection: str, documents: Sequence[UUID]) -> None:
    values = {"ids": list(documents), "collection": collection}
    await conn.execute(_QUERIES["enqueue"], values)
    await conn.execute(_QUERIES["notify"])
