"""The Qdrant side: one Qdrant collection an index generation."""

import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from aistack.errors import UnavailableError
from aistack.kit.text import composed
from aistack.knowledge.bm25 import SparseVector
from aistack.knowledge.embed import Vector, unpack
from aistack.knowledge.fuse import WINDOWS
from aistack.knowledge.model import Filter
from aistack.stores.qdrant import Qdrant

_KEYWORDS = ("document", "project", "content_type", "folders", "tags")
_UPSERT_POINTS = 256
_DIGITS = 6
NOT_FOUND = 404
CONFLICT = 409

STRICT = models.StrictModeConfig(
    enabled=True,
    max_query_limit=WINDOWS[-1],
    unindexed_filtering_retrieve=False,
    unindexed_filtering_update=False,
    search_allow_exact=False,
    upsert_max_batchsize=_UPSERT_POINTS,
    filter_max_conditions=256,
    condition_max_size=WINDOWS[-1],
)
"""A second wall, in Qdrant itself: what our own bounds let through by mistake is refused there."""


class Point(Struct, frozen=True):
    """A passage on its way into the index."""

    id: str
    lexical: SparseVector
    dense: bytes | None
    """Packed: as lists of numbers the vectors of a batch would take 8 times the memory."""
    payload: dict[str, Any]


class Found(Struct, frozen=True):
    """A point as it lies in the index, whoever wrote it."""

    id: int | str
    document: str | None
    indexed_at: int | None
    """Seconds since 1970."""


class Leg(Struct, frozen=True):
    """One way of search: ids best first, with their scores."""

    ids: list[str]
    scores: list[float]
    full: bool
    """As many were found as were asked for, so there may be more."""


def payload(document: dict[str, Any]) -> dict[str, Any]:
    """What filters can ask for. The text stays in PostgreSQL."""
    path = document["path"]
    # As listings see it: whatever stands before a slash, also in "./a" and "a//b".
    folders = {path[:at].rstrip("/") for at, sign in enumerate(path) if sign == "/"}
    return {
        "document": str(document["id"]),
        "revision": document["revision"],
        "project": document["project"],
        "content_type": document["content_type"],
        "folders": sorted(folders),
        "tags": [_tag(k, v) for k, v in document["metadata"].items()],
        "indexed_at": int(time.time()),
    }


class Vectors:
    """Points of all generations."""

    def __init__(self, qdrant: Qdrant) -> None:
        self._qdrant = qdrant
        self._complete: set[str] = set()
        """Indexes known to have all their payload indexes."""

    async def exists(self, index: str) -> bool:
        """Whether Qdrant has this generation."""
        return await self._qdrant.run(lambda c: c.collection_exists(index))

    async def names(self) -> set[str]:
        """All collections that Qdrant has, ours and others, in one call."""
        answer = await self._qdrant.run(lambda c: c.get_collections())
        return {one.name for one in answer.collections}

    async def create(self, index: str, dimension: int | None) -> None:
        """Make a generation's collection, unless it is there."""
        if await self.exists(index):
            await self.complete(index)
            return
        self._complete.discard(index)
        dense = (
            {"dense": models.VectorParams(size=dimension, distance=models.Distance.COSINE)}
            if dimension
            else {}
        )
        sparse = {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
        try:
            await self._qdrant.run(
                lambda c: c.create_collection(
                    index,
                    vectors_config=dense,
                    sparse_vectors_config=sparse,
                    on_disk_payload=True,
                    strict_mode_config=STRICT,
                )
            )
        except UnexpectedResponse as exc:
            if exc.status_code != CONFLICT:  # made meanwhile, by a call that we gave up
                raise
        await self._index_fields(index)

    async def complete(self, index: str) -> None:
        """Finish a generation's collection that a kill or a time-out left half made."""
        if index not in self._complete:
            await self._index_fields(index)

    async def _index_fields(self, index: str) -> None:
        """Make all payload indexes; Qdrant leaves those that exist as they are."""
        if not self._qdrant.is_local:  # local mode has none and warns of each
            for name in _KEYWORDS:
                await self._index_field(index, name, models.PayloadSchemaType.KEYWORD)
            await self._index_field(index, "revision", models.PayloadSchemaType.INTEGER)
        self._complete.add(index)

    async def _index_field(self, index: str, name: str, kind: models.PayloadSchemaType) -> None:
        await self._qdrant.run(
            lambda c: c.create_payload_index(index, field_name=name, field_schema=kind)
        )

    async def drop(self, index: str) -> None:
        """Delete a generation's collection, if it is there."""
        await self._qdrant.run(lambda c: c.delete_collection(index))

    async def upsert(self, index: str, points: Sequence[Point]) -> None:
        """Write points; the same point twice is one."""
        for start in range(0, len(points), _UPSERT_POINTS):
            batch = [_struct(point) for point in points[start : start + _UPSERT_POINTS]]
            await self._upsert(index, batch)

    async def _upsert(self, index: str, batch: list[models.PointStruct]) -> None:
        await self._qdrant.run(lambda c: c.upsert(index, batch, wait=True))

    async def delete_stale(self, index: str, current: dict[str, int | None]) -> None:
        """Delete all points of these documents but those of the given revision (None: all)."""
        if not current:
            return
        stale: list[models.Condition] = [
            models.Filter(
                must=[_equals("document", document)],
                must_not=[] if revision is None else [_equals("revision", revision)],
            )
            for document, revision in current.items()
        ]
        selector = models.FilterSelector(filter=models.Filter(should=stale))
        await self._qdrant.run(lambda c: c.delete(index, points_selector=selector, wait=True))

    async def scan(
        self, index: str, after: int | str | None, limit: int
    ) -> tuple[list[Found], int | str | None]:
        """Some points, and where to go on; None: these were the last."""
        fields = ["document", "indexed_at"]
        records, following = await self._qdrant.run(
            lambda c: c.scroll(
                index, offset=after, limit=limit, with_payload=fields, with_vectors=False
            )
        )
        found = [
            Found(
                record.id if isinstance(record.id, int) else str(record.id),
                _typed((record.payload or {}).get("document"), str),
                _typed((record.payload or {}).get("indexed_at"), int),
            )
            for record in records
        ]
        return found, _typed(following, (int, str))

    async def present(self, index: str, ids: Sequence[str]) -> set[str]:
        """Which of these points there are."""
        records = await self._qdrant.run(
            lambda c: c.retrieve(index, ids=list(ids), with_payload=False, with_vectors=False)
        )
        return {str(record.id) for record in records if not isinstance(record.id, int)}

    async def delete(self, index: str, ids: Sequence[str]) -> None:
        """Delete points; one that is gone stays gone."""
        selector = models.PointIdsList(points=list(ids))
        await self._qdrant.run(lambda c: c.delete(index, points_selector=selector, wait=True))

    async def count(self, index: str, filter: Filter | None = None) -> int:  # noqa: A002
        """Exact number of points, of all or of those that a filter lets through."""
        conditions = compile_filter(filter) if filter is not None else None
        answer = await self._qdrant.run(
            lambda c: c.count(index, count_filter=conditions, exact=True)
        )
        return answer.count

    async def search(
        self,
        index: str,
        *,
        lexical: SparseVector | None,
        dense: Vector | None,
        filter: Filter,  # noqa: A002 - the query's own word
        limit: int,
        only: Sequence[str] | None = None,
    ) -> list[Leg]:
        """Ask each given way of search, in one round trip; legs in the order lexical, dense."""
        conditions = compile_filter(filter, only)
        requests = []
        if lexical is not None:
            sparse = models.SparseVector(indices=lexical.indices, values=lexical.values)
            requests.append(
                models.QueryRequest(query=sparse, using="bm25", filter=conditions, limit=limit)
            )
        if dense is not None:
            requests.append(
                models.QueryRequest(query=dense, using="dense", filter=conditions, limit=limit)
            )
        try:
            answers = await self._qdrant.query(index, requests)
        except (UnexpectedResponse, ValueError) as exc:
            if isinstance(exc, UnexpectedResponse) and exc.status_code != NOT_FOUND:
                raise
            raise UnavailableError("the index of this collection is being rebuilt") from exc
        legs = []
        for answer in answers:
            # Ours have UUIDs; a number is of somebody else's point. Equal vectors may differ in the
            # digits beyond these.
            ours = [(-round(p.score, _DIGITS), p.id) for p in answer if isinstance(p.id, str)]
            # Ties in a fixed order: pages must not depend on how the engine happened to walk.
            ranked = sorted(ours)
            legs.append(Leg([i for _, i in ranked], [-s for s, _ in ranked], len(answer) >= limit))
        return legs


def compile_filter(asked: Filter, only: Sequence[str] | None = None) -> models.Filter | None:
    """The query's filter in Qdrant's terms; every field it names has a payload index."""
    must: list[models.Condition] = []
    if asked.project is not None:
        must.append(_equals("project", asked.project))
    if asked.under is not None:
        must.append(_equals("folders", composed(asked.under).rstrip("/")))
    if asked.content_type is not None:
        must.append(_equals("content_type", asked.content_type))
    for key, value in asked.metadata.items():
        values = value if isinstance(value, list) else [value]
        tags: list[Any] = [composed(_tag(key, v)) for v in values]
        must.append(models.FieldCondition(key="tags", match=models.MatchAny(any=tags)))
    if only is not None:
        must.append(models.HasIdCondition(has_id=list(only)))
    return models.Filter(must=must) if must else None


def _typed(value: Any, kind: Any) -> Any:
    """The value if it is of that kind: 5 is not "5"."""
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _equals(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _tag(key: str, value: object) -> str:
    """A metadata entry as one indexed keyword; 1, "1" and true stay three different things."""
    return f"{key}={type(value).__name__}:{value}"


def _struct(point: Point) -> models.PointStruct:
    vector: dict[str, Any] = {
        "bm25": models.SparseVector(indices=point.lexical.indices, values=point.lexical.values)
    }
    if point.dense is not None:
        vector["dense"] = unpack(point.dense)
    return models.PointStruct(id=point.id, vector=vector, payload=point.payload)
