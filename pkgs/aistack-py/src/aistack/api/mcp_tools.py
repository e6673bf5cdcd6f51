"""The tools that agents get: plain values, unaware of the MCP SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct, field

from aistack.access.model import Principal, Scope
from aistack.api.collections import CollectionList
from aistack.errors import TooLargeError
from aistack.knowledge.model import (
    Document,
    DocumentInfo,
    DocumentPage,
    DocumentPath,
    Limit,
    Metadata,
    NewDocument,
    PutResult,
    Query,
    SearchPage,
)
from aistack.settings.names import Identifier

if TYPE_CHECKING:
    from aistack.wiring import Stack

SNIPPET = 400
"""Characters of each passage in the text form of a search's answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool gives back: the value, and words for clients that show only text."""

    value: Struct
    text: str


Handler = Callable[["Stack", Principal, Any], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool."""

    name: str
    title: str
    text: str
    input: type[Struct]
    output: type[Struct]
    scope: Scope
    read_only: bool
    """It changes nothing."""
    destructive: bool | None = None
    """It may undo or replace something; None: unless it is read-only."""
    idempotent: bool = True
    """The same call again changes nothing more."""
    handler: Handler
    route: str = ""
    """The HTTP operation that does the same, as rate_limits.deny_without_redis names it."""


class GetDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of which document."""

    id: UUID
    offset: Annotated[int, Meta(ge=0)] = 0
    """First character to return."""
    limit: Annotated[int, Meta(ge=1, le=50_000)] = 8_000
    """Most characters to return."""


class DocumentPart(Struct, frozen=True):
    """A part of a document's text."""

    document: DocumentInfo
    content: str
    offset: int
    total_characters: int
    next_offset: int | None
    """Where the next part begins; null: this is the last."""


class ListDocuments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which documents to list."""

    collection: Identifier
    project: Identifier | None = None
    under: DocumentPath | None = None
    limit: Limit = 20
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class NoInput(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing."""


class PutDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text document to store at (collection, project, path)."""

    collection: Identifier
    path: DocumentPath
    content: str
    project: Identifier = "default"
    title: Annotated[str, Meta(max_length=1024)] | None = None
    content_type: Annotated[str, Meta(max_length=100)] | None = None
    metadata: Metadata = field(default_factory=dict)


class DeleteDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """Which document to delete."""

    id: UUID


class DeletedDocument(Struct, frozen=True):
    """The document that is gone."""

    id: UUID


async def _search(stack: Stack, principal: Principal, query: Query) -> Answer:
    page = await stack.search.search(principal, query)
    lines = [f"{len(page.hits)} passages of {page.total.value} ({page.total.relation})."]
    for number, hit in enumerate(page.hits, query.offset + 1):
        place = f"{hit.title} > {hit.heading}" if hit.heading else hit.title
        lines.append(
            f"{number}. {place} [{hit.path}] score {hit.score:.2f}, document {hit.document_id}\n"
            f"{hit.text[:SNIPPET]}{'…' if len(hit.text) > SNIPPET else ''}"
        )
    if page.next_cursor:
        lines.append(f"More: the same query with cursor {page.next_cursor}")
    return Answer(page, "\n\n".join(lines))


async def _get_document(stack: Stack, principal: Principal, wanted: GetDocument) -> Answer:
    document = await stack.documents.get(principal, wanted.id)
    part = document_part(
        document, wanted.offset, wanted.limit, stack.settings.limits.result_bytes // 2
    )
    more = f"\n\n[more: offset {part.next_offset}]" if part.next_offset is not None else ""
    return Answer(part, part.content + more)


def document_part(document: Document, offset: int, limit: int, bound: int) -> DocumentPart:
    """Up to ``limit`` characters from ``offset``, and at most ``bound`` bytes as JSON."""
    info = DocumentInfo(
        **{name: getattr(document, name) for name in DocumentInfo.__struct_fields__}
    )
    total = len(document.content)
    content = document.content[offset : offset + limit]
    while len(content) > 1 and len(msgspec.json.encode(content)) > bound:
        content = content[: len(content) // 2]
    end = offset + len(content)
    return DocumentPart(info, content, offset, total, end if content and end < total else None)


async def _list_documents(stack: Stack, principal: Principal, wanted: ListDocuments) -> Answer:
    limit: int = wanted.limit
    while True:
        page = await stack.documents.list(
            principal,
            wanted.collection,
            project=wanted.project,
            under=wanted.under,
            limit=limit,
            cursor=wanted.cursor,
        )
        # Fewer documents, rather than a cut list whose cursor would skip the ones cut off.
        if limit == 1 or len(msgspec.json.encode(page)) <= stack.settings.limits.result_bytes // 2:
            break
        limit //= 2
    lines = [f"{len(page.documents)} of {page.total} documents."]
    lines += [f"{item.id} {item.project}/{item.path}" for item in page.documents]
    if page.next_cursor:
        lines.append(f"More: cursor {page.next_cursor}")
    return Answer(page, "\n".join(lines))


async def _list_collections(stack: Stack, principal: Principal, _wanted: NoInput) -> Answer:
    found = await stack.collections.list(principal)
    lines = [f"{item.name} ({item.documents} documents): {item.description}" for item in found]
    return Answer(CollectionList(found), "\n".join(lines) or "No collections.")


async def _put_document(stack: Stack, principal: Principal, wanted: PutDocument) -> Answer:
    new = NewDocument(
        path=wanted.path,
        source=wanted.content.encode(),
        project=wanted.project,
        title=wanted.title,
        content_type=wanted.content_type,
        metadata=wanted.metadata,
    )
    result = await stack.documents.put(principal, wanted.collection, new)
    return Answer(result, f"{result.outcome}: document {result.document.id}")


async def _delete_document(stack: Stack, principal: Principal, wanted: DeleteDocument) -> Answer:
    await stack.documents.delete(principal, wanted.id)
    return Answer(DeletedDocument(wanted.id), f"deleted document {wanted.id}")


TOOLS = (
    Tool(
        name="search", title="Search the knowledge base", input=Query, output=SearchPage,
        scope="read", read_only=True, handler=_search,
        text="Find the passages of one collection that best answer a question. Call "
        "list_collections first when you do not know the collection. Scores go from 0 to 1.",
    ),
    Tool(
        name="get_document", title="Read a document", input=GetDocument, output=DocumentPart,
        scope="read", read_only=True, handler=_get_document,
        text="Read a document's text by the id that search or list_documents gave. Long "
        "documents come in parts: call again with offset = next_offset until it is null.",
    ),
    Tool(
        name="list_documents", title="List documents", input=ListDocuments, output=DocumentPage,
        scope="read", read_only=True, handler=_list_documents,
        text="List a collection's documents by project and path, a page at a time.",
    ),
    Tool(
        name="list_collections", title="List collections", input=NoInput, output=CollectionList,
        scope="read", read_only=True, handler=_list_collections,
        text="List the collections that can be searched, with what they are about.",
    ),
    Tool(
        name="put_document", title="Store a document", input=PutDocument, output=PutResult,
        scope="write", read_only=False, handler=_put_document,
        route="PUT /v1/collections/{collection}/documents",
        text="Create the text document at (collection, project, path), or replace it. "
        "Search finds it a moment later.",
    ),
    Tool(
        name="delete_document", title="Delete a document", input=DeleteDocument,
        output=DeletedDocument, scope="write", read_only=False, handler=_delete_document,
        route="DELETE /v1/documents/{id}",
        text="Delete a document for good, by its id.",
    ),
)  # fmt: skip


def schema(kind: type[Struct]) -> dict[str, Any]:
    """A type's JSON Schema with an object at its root, as MCP wants, and its own $defs."""
    (_,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root: dict[str, Any] = parts.pop(kind.__name__)
    return {**root, "$defs": parts} if parts else root


def bounded(value: Struct, limit: int) -> bytes:
    """The value as JSON; raises `TooLargeError` above ``limit`` bytes."""
    raw = msgspec.json.encode(value)
    if len(raw) > limit:
        raise TooLargeError("the answer is too large; ask for less at once")
    return raw
