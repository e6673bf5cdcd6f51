"""The values of the knowledge base; frozen, and the same in HTTP, MCP and CLI."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from aistack.settings.names import Identifier

Mode = Literal["auto", "lexical", "dense", "hybrid"]
MetadataValue = str | int | bool
Metadata = Annotated[dict[str, MetadataValue], Meta(max_length=32)]
DocumentPath = Annotated[str, Meta(min_length=1, max_length=1024)]
Limit = Annotated[int, Meta(ge=1, le=100)]


class Collection(Struct, frozen=True):
    """A named set of documents with one index.

    `documents` and `chunks` can be some seconds old, the rest is as it is now.
    """

    name: str
    description: str
    documents: int
    """As it was up to 5 s ago, or ten times as long as counting takes where that is longer."""
    chunks: int
    """Its passages; as old as ``documents``."""
    pending: int
    """Documents whose change has not reached the index yet."""
    dense: bool
    """Whether its index holds dense vectors beside the lexical ones."""


class DocumentInfo(Struct, frozen=True):
    """A document without its text."""

    id: UUID
    collection: str
    project: str
    path: str
    title: str
    content_type: str
    checksum: str
    """SHA-256 of the source as it was delivered, in hex."""
    size_bytes: int
    metadata: dict[str, MetadataValue]
    revision: int
    indexed: bool
    """Whether search answers with this revision already."""
    created_at: datetime
    updated_at: datetime


class Document(DocumentInfo, frozen=True):
    """A document with its text (for HTML, PDF and the like: the text extracted from it)."""

    content: str


class NewDocument(Struct, frozen=True, kw_only=True):
    """A document as it comes in; its place is (collection, project, path)."""

    path: DocumentPath
    source: bytes
    project: Identifier = "default"
    title: str | None = None
    content_type: str | None = None
    """Media type; None: told from the path."""
    metadata: Metadata = field(default_factory=dict)


class PutResult(Struct, frozen=True):
    """What became of a put."""

    document: DocumentInfo
    outcome: Literal["created", "updated", "unchanged"]


class DocumentPage(Struct, frozen=True):
    """A page of a listing, ordered by project and path."""

    documents: list[DocumentInfo]
    total: int
    has_more: bool
    next_cursor: str | None


class Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """All given parts must hold."""

    project: Identifier | None = None
    under: DocumentPath | None = None
    """A folder: only documents whose path lies below it."""
    content_type: Annotated[str, Meta(max_length=100)] | None = None
    metadata: Annotated[
        dict[str, MetadataValue | Annotated[list[MetadataValue], Meta(max_length=32)]],
        Meta(max_length=16),
    ] = field(default_factory=dict)
    """Each key must have the value, or one of the values."""


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to one collection."""

    query: Annotated[str, Meta(min_length=1)]
    collection: Identifier
    mode: Mode = "auto"
    """auto: hybrid where the collection has dense vectors, else lexical."""
    filter: Filter = field(default_factory=Filter)
    min_score: Annotated[float, Meta(ge=0, le=1)] = 0.0
    limit: Limit = 10
    offset: Annotated[int, Meta(ge=0, le=10_000)] = 0
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    """next_cursor of the page before; the rest of the query must be the same."""


class Signals(Struct, frozen=True):
    """Why a hit is where it is; None: that way of search was not asked or did not find it."""

    bm25: float | None
    """Raw BM25 score, unbounded."""
    cosine: float | None
    """Cosine of the embeddings of question and passage, -1 to 1."""


class Hit(Struct, frozen=True):
    """A passage that answers."""

    document_id: UUID
    chunk_id: UUID
    collection: str
    project: str
    path: str
    title: str
    heading: str
    """Headings above the passage, outermost first, joined by ' > '."""
    text: str
    score: float
    """Similarity, 0 to 1: the better of cosine and the share of the question's terms covered."""
    signals: Signals
    metadata: dict[str, MetadataValue]


class Total(Struct, frozen=True):
    """How many passages there are, and how sure that is."""

    value: int
    relation: Literal["exact", "at_least"]


class SearchPage(Struct, frozen=True):
    """A page of hits, best first; the order is stable while the index stays the same."""

    hits: list[Hit]
    total: Total
    has_more: bool
    next_cursor: str | None
    mode: Literal["lexical", "dense", "hybrid"]
    """The way that was really used."""
    truncated: bool = False
    """Whether hits were left to the next page since the answer reached limits.result_bytes."""
