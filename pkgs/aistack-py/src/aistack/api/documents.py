"""HTTP endpoints of documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct, field

from aistack.access.model import Principal
from aistack.api.endpoint import Call, Endpoint, Reply
from aistack.errors import InvalidError, PreconditionError
from aistack.knowledge.model import (
    Document,
    DocumentInfo,
    DocumentPage,
    DocumentPath,
    Limit,
    Metadata,
    NewDocument,
    PutResult,
)
from aistack.settings.names import Identifier

if TYPE_CHECKING:
    from aistack.wiring import Stack


class PutDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document to store at (collection, project, path), with exactly one kind of content."""

    path: DocumentPath
    project: Identifier = "default"
    title: Annotated[str, Meta(max_length=1024)] | None = None
    content_type: Annotated[str, Meta(max_length=100)] | None = None
    metadata: Metadata = field(default_factory=dict)
    content: str | None = None
    content_base64: bytes | None = None


class ListDocuments(Struct, frozen=True, kw_only=True):
    """Which documents to list."""

    project: Identifier | None = None
    under: DocumentPath | None = None
    limit: Limit = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class OfProject(Struct, frozen=True):
    """Which project's documents to delete."""

    project: Identifier


class Deleted(Struct, frozen=True):
    """How many documents were deleted."""

    deleted: int


def etag(info: DocumentInfo) -> str:
    """The entity tag of this revision, with its quotes."""
    return f'"{info.id.hex}-{info.revision}"'


def if_match(call: Call) -> str | None:
    """The one tag of If-Match, without quotes; ``*`` where any revision will do.

    Raises:
        InvalidError: it is neither one quoted tag nor ``*``.
        PreconditionError: it is weak, and weak tags never match here (RFC 9110, 13.1.1).
    """
    given = call.headers.get("if-match")
    if given is None:
        return None
    given = given.strip()
    if given == "*":
        return given
    if given.startswith("W/"):
        raise PreconditionError("If-Match needs a strong ETag")
    tag = given[1:-1]
    if len(given) < 3 or given != f'"{tag}"' or '"' in tag or not tag.isascii():
        raise InvalidError("If-Match takes one ETag in double quotes, or *")
    if tag == "*":  # in quotes it is a tag, which no document has, and not the wildcard
        raise PreconditionError("no document has this ETag")
    return tag


def matches(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match header names this tag; compared weakly, as RFC 9110 says."""
    given = [item.strip().removeprefix("W/") for item in (header or "").split(",")]
    return "*" in given or tag in given


def new_document(body: PutDocument) -> NewDocument:
    """The document as the service takes it; raises `InvalidError` unless one content is given."""
    if (body.content is None) == (body.content_base64 is None):
        raise InvalidError("give either content or content_base64", pointer="/content")
    if body.content_base64 is not None:
        source = body.content_base64
    else:
        source = (body.content or "").encode()
    return NewDocument(
        path=body.path,
        source=source,
        project=body.project,
        title=body.title,
        content_type=body.content_type,
        metadata=body.metadata,
    )


async def put_document(stack: Stack, principal: Principal, call: Call) -> Reply:
    """Create or replace one document."""
    none_match = call.headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise InvalidError("If-None-Match takes only * here")
    result = await stack.documents.put(
        principal,
        call.path["collection"],
        new_document(call.body),
        if_match=if_match(call),
        if_none_match=none_match is not None,
    )
    headers = {"ETag": etag(result.document)}
    if result.outcome == "created":
        headers["Location"] = f"/v1/documents/{result.document.id}"
        return Reply(result, 201, headers)
    return Reply(result, 200, headers)


async def get_document(stack: Stack, principal: Principal, call: Call) -> Reply:
    """One document, or 304 where the caller has this revision."""
    document = await stack.documents.get(principal, call.path["id"])
    tag = etag(document)
    if matches(call.headers.get("if-none-match"), tag):
        return Reply(status=304, headers={"ETag": tag})
    return Reply(document, headers={"ETag": tag})


async def delete_document(stack: Stack, principal: Principal, call: Call) -> None:
    """Delete one document."""
    await stack.documents.delete(principal, call.path["id"], if_match=if_match(call))


async def list_documents(stack: Stack, principal: Principal, call: Call) -> DocumentPage:
    """A page of a collection's documents."""
    query: ListDocuments = call.query
    return await stack.documents.list(
        principal,
        call.path["collection"],
        project=query.project,
        under=query.under,
        limit=query.limit,
        cursor=query.cursor,
    )


async def delete_project(stack: Stack, principal: Principal, call: Call) -> Deleted:
    """Delete all documents of one project."""
    query: OfProject = call.query
    return Deleted(
        await stack.documents.delete_project(principal, call.path["collection"], query.project)
    )


_ALL = "/v1/collections/{collection}/documents"
_ONE = "/v1/documents/{id:uuid}"
_TAGS = ("documents",)

ENDPOINTS = (
    Endpoint(
        method="GET", path=_ALL, handler=list_documents, scope="read", tags=_TAGS,
        summary="List documents", query=ListDocuments, response=DocumentPage,
        errors=("not-found",),
    ),
    Endpoint(
        method="PUT", path=_ALL, handler=put_document, scope="write", tags=_TAGS,
        summary="Create or replace a document", body=PutDocument, response=PutResult, also=(201,),
        headers=("If-Match", "If-None-Match"),
        errors=("not-found", "conflict", "precondition-failed", "screened"),
    ),
    Endpoint(
        method="DELETE", path=_ALL, handler=delete_project, scope="write", tags=_TAGS,
        summary="Delete a project's documents", query=OfProject, response=Deleted,
        errors=("not-found",),
    ),
    Endpoint(
        method="GET", path=_ONE, handler=get_document, scope="read", tags=_TAGS,
        summary="Get a document", response=Document, also=(304,), headers=("If-None-Match",),
        errors=("not-found",),
    ),
    Endpoint(
        method="DELETE", path=_ONE, handler=delete_document, scope="write", tags=_TAGS,
        summary="Delete a document", status=204, headers=("If-Match",),
        errors=("not-found", "precondition-failed"),
    ),
)  # fmt: skip
