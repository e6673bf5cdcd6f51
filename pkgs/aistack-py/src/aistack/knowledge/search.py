"""Search: lexical, dense or both fused; visible is only what PostgreSQL says is."""

import hashlib
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from aistack.access.model import Principal
from aistack.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from aistack.kit.signing import Signer
from aistack.kit.text import clean
from aistack.knowledge import bm25
from aistack.knowledge.embed import Embedder, Vector
from aistack.knowledge.fuse import WINDOWS, fuse
from aistack.knowledge.model import Hit, Query, SearchPage, Signals, Total
from aistack.knowledge.terms import terms
from aistack.knowledge.vectors import Vectors
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.knowledge", "knowledge.sql") | load_queries(
    "aistack.knowledge", "index.sql"
)
_DEEPEST = WINDOWS[-1]

UsedMode = Literal["lexical", "dense", "hybrid"]
Row = dict[str, Any]


class _Plan(Struct, frozen=True):
    """A query that is checked and ready to ask."""

    query: Query
    offset: int
    mode: UsedMode
    index: str
    terms: Any
    lexical: bm25.SparseVector | None
    dense: Vector | None


class _Found(Struct, frozen=True):
    """What one window holds, best first."""

    ids: list[str]
    bm25: dict[str, float]
    cosine: dict[str, float]
    complete: bool


class Search:
    """Answers queries over one collection."""

    def __init__(
        self,
        postgres: Postgres,
        vectors: Vectors,
        embedder: Embedder,
        settings: Settings,
        signer: Signer,
        metrics: Metrics,
    ) -> None:
        self._postgres = postgres
        self._vectors = vectors
        self._embedder = embedder
        self._limits = settings.limits
        self._signer = signer
        self._metrics = metrics

    async def search(self, principal: Principal, query: Query) -> SearchPage:
        """One page of hits.

        Raises:
            InvalidError: the query is too large, or the cursor is not of this query.
            NotFoundError: no such collection.
            ConflictError: the collection's embeddings are of another model than the settings'.
            UnavailableError: the index or the embedding endpoint does not answer.
        """
        principal.require("read")
        principal.require_collection(query.collection)
        plan = await self._plan(principal, query)
        self._metrics.searches.labels(plan.mode).inc()
        wanted = plan.offset + query.limit + 1
        for window in (w for w in WINDOWS if w >= wanted or w == _DEEPEST):
            found = await self._window(plan, window)
            if found.complete or len(found.ids) >= wanted:
                break
        return await self._page(principal, plan, found)

    async def _plan(self, principal: Principal, query: Query) -> _Plan:
        text = clean(query.query, field="query", max_bytes=self._limits.query_bytes).strip()
        if not text:
            raise InvalidError("the query is empty", pointer="/query")
        offset = self._offset(principal, query)
        async with self._postgres.read() as conn:
            values = {"collection": query.collection}
            row = await (await conn.execute(_QUERIES["live_generation"], values)).fetchone()
            if row is None:
                known = await conn.execute(
                    "select 1 from collections where name = %(collection)s", values
                )
                if await known.fetchone() is None:
                    raise NotFoundError("no such collection")
                raise UnavailableError("the index of this collection is not made yet")
        mode = self._mode(query, row)
        asked = terms(text)
        return _Plan(
            query=query,
            offset=offset,
            mode=mode,
            index=row["index_name"],
            terms=asked,
            lexical=None if mode == "dense" else bm25.question_vector(asked),
            dense=None if mode == "lexical" else await self._embedder.question(text),
        )

    def _mode(self, query: Query, generation: Row) -> UsedMode:
        has_dense = generation["model"] is not None
        if query.mode == "lexical" or (query.mode == "auto" and not has_dense):
            return "lexical"
        if not self._embedder.enabled:
            if query.mode == "auto":
                return "lexical"
            raise ConflictError("no embeddings.endpoint is set: only mode lexical can answer")
        if not has_dense:
            raise ConflictError(
                "this collection was indexed without embeddings; run "
                f"aistack reindex {query.collection}"
            )
        stored = (generation["model"], generation["dimension"])
        if stored != (self._embedder.model, self._embedder.dimension):
            raise ConflictError(
                f"this collection holds embeddings of {stored[0]} ({stored[1]}), the settings say "
                f"{self._embedder.model} ({self._embedder.dimension}); run "
                f"aistack reindex {query.collection}"
            )
        return "dense" if query.mode == "dense" else "hybrid"

    async def _window(self, plan: _Plan, window: int) -> _Found:
        """All visible passages within the window, in final order."""
        query = plan.query
        legs = await self._vectors.search(
            plan.index, lexical=plan.lexical, dense=plan.dense, filter=query.filter, limit=window
        )
        complete = all(len(leg.ids) < window for leg in legs)
        scores = [dict(zip(leg.ids, leg.scores, strict=True)) for leg in legs]
        lexical = scores[0] if plan.lexical is not None else {}
        cosine = scores[-1] if plan.dense is not None else {}
        ids = await self._visible(query.collection, fuse([leg.ids for leg in legs]))
        if query.min_score > 0:
            cosine |= await self._missing_cosines(plan, ids, cosine)
            rows = await self._rows(ids)
            ids = [i for i in ids if i in rows and _score(plan, rows[i], cosine) >= query.min_score]
        return _Found(ids, lexical, cosine, complete)

    async def _visible(self, collection: str, ids: list[str]) -> list[str]:
        """Without points of documents that are gone, replaced, or half-way into the index."""
        values = {"ids": ids, "collection": collection}
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["visible"], values)).fetchall()
        visible = {row["id"] for row in rows}
        return [i for i in ids if i in visible]

    async def _rows(self, ids: list[str]) -> dict[str, Row]:
        async with self._postgres.read() as conn:
            rows = await (await conn.execute(_QUERIES["hits"], {"ids": ids})).fetchall()
        return {row["chunk_id"]: row for row in rows}

    async def _missing_cosines(
        self, plan: _Plan, ids: list[str], known: dict[str, float]
    ) -> dict[str, float]:
        """Cosines of hits that only the words found: a similarity is told for every hit."""
        missing = [i for i in ids if i not in known]
        if plan.dense is None or not missing:
            return {}
        (leg,) = await self._vectors.search(
            plan.index,
            lexical=None,
            dense=plan.dense,
            filter=plan.query.filter,
            limit=len(missing),
            only=missing,
        )
        return dict(zip(leg.ids, leg.scores, strict=True))

    async def _page(self, principal: Principal, plan: _Plan, found: _Found) -> SearchPage:
        query = plan.query
        ids = found.ids[plan.offset : plan.offset + query.limit]
        rows = await self._rows(ids)
        cosine = found.cosine | await self._missing_cosines(plan, ids, found.cosine)
        hits: list[Hit] = []
        size = 0
        for chunk_id in ids:
            if chunk_id not in rows:
                continue  # replaced between our two reads: as if it had been before the first
            row = rows[chunk_id]
            size += len(row["text"].encode())
            if hits and size > self._limits.result_bytes:
                break
            hits.append(
                msgspec.convert(
                    row
                    | {
                        "score": round(_score(plan, row, cosine), 6),
                        "signals": Signals(found.bm25.get(chunk_id), cosine.get(chunk_id)),
                    },
                    Hit,
                )
            )
        truncated = size > self._limits.result_bytes and len(hits) < len(ids)
        end = plan.offset + (len(hits) if truncated else len(ids))
        more = end < len(found.ids)
        return SearchPage(
            hits=hits,
            total=Total(len(found.ids), "exact" if found.complete else "at_least"),
            has_more=more,
            next_cursor=self._cursor(principal, query, end) if more else None,
            mode=plan.mode,
            truncated=truncated,
        )

    def _cursor(self, principal: Principal, query: Query, offset: int) -> str:
        return self._signer.sign(msgspec.msgpack.encode((offset, _name(principal, query))))

    def _offset(self, principal: Principal, query: Query) -> int:
        if not query.cursor:
            return query.offset
        if query.offset:
            raise InvalidError("give offset or cursor, not both", pointer="/offset")
        try:
            offset, name = msgspec.msgpack.decode(
                self._signer.verify(query.cursor), type=tuple[int, bytes]
            )
        except msgspec.DecodeError as exc:
            raise InvalidError("this cursor is of another listing", pointer="/cursor") from exc
        if name != _name(principal, query):
            raise InvalidError("this cursor is of another query", pointer="/cursor")
        return offset


def _name(principal: Principal, query: Query) -> bytes:
    """What a cursor is good for: this key and this query, whatever the page size."""
    same = structs.replace(query, cursor=None, offset=0, limit=1)
    raw = msgspec.msgpack.encode((principal.key_id, same))
    return hashlib.blake2b(raw, digest_size=12).digest()


def _score(plan: _Plan, row: Row, cosine: dict[str, float]) -> float:
    passage = terms(f"{row['title']}\n{row['heading']}\n{row['text']}")
    covered = 0.0 if plan.mode == "dense" else bm25.coverage(plan.terms, passage)
    return max(covered, min(1.0, max(0.0, cosine.get(row["chunk_id"], 0.0))))
