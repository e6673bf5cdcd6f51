"""Search: lexical, dense or both fused; visible is only what PostgreSQL says is."""

import asyncio
import hashlib
from collections import Counter
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct, structs

from aistack.access.model import Principal
from aistack.errors import (
    AistackError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from aistack.kit.signing import Signer
from aistack.kit.text import clean
from aistack.knowledge import bm25
from aistack.knowledge.embed import Embedder, Vector
from aistack.knowledge.fuse import WINDOWS, fuse, settled
from aistack.knowledge.model import Hit, Query, SearchPage, Signals, Total
from aistack.knowledge.terms import present, terms
from aistack.knowledge.vectors import Vectors
from aistack.monitoring.metrics import Metrics
from aistack.screening.screen import Screen
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
    terms: Counter[str]
    lexical: bm25.SparseVector | None
    dense: Vector | None


class _Found(Struct, frozen=True):
    """What one window holds."""

    rows: list[Row]
    """The asked page, best first."""
    total: int
    """Passages in the whole window."""
    bm25: dict[str, float]
    cosine: dict[str, float]
    complete: bool


class _ReplacedError(UnavailableError):
    """The generation that was asked is not the live one any more."""


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
        screen: Screen,
    ) -> None:
        self._postgres = postgres
        self._vectors = vectors
        self._embedder = embedder
        self._limits = settings.limits
        self._signer = signer
        self._metrics = metrics
        self._screen = screen
        self._live: dict[str, Row] = {}

    async def search(self, principal: Principal, query: Query) -> SearchPage:
        """One page of hits.

        Raises:
            InvalidError: the query is too large, or the cursor is not of this query.
            ScreenedError: the query holds what validation.questions refuses.
            NotFoundError: no such collection.
            ConflictError: the collection's embeddings are of another model than the settings'.
            UnavailableError: the index or the embedding endpoint does not answer.
        """
        principal.require("read")
        principal.require_collection(query.collection)
        text, offset = self._checked(principal, query)
        # The live generation is remembered, and the statement that reads the hits says whether it
        # still is: one round trip to PostgreSQL a search, and never an answer of an old index.
        known = self._live.get(query.collection)
        if known is not None:
            try:
                return await self._answer(principal, query, text, offset, known)
            except (ConflictError, _ReplacedError):
                pass  # perhaps of the old generation only
        generation = self._live[query.collection] = await self._generation(query.collection)
        return await self._answer(principal, query, text, offset, generation)

    def _checked(self, principal: Principal, query: Query) -> tuple[str, int]:
        """The question's text and the offset, both checked and counted."""
        size = len(query.query.encode("utf-8", "surrogatepass"))
        self._metrics.query_bytes.observe(size)
        try:
            text = _text(query, self._limits.query_bytes)
            self._screen.question(text)
            offset = self._offset(principal, query)
        except InvalidError as exc:
            self._metrics.query_failures.labels(exc.reason).inc()
            raise
        self._metrics.query_success.inc()
        return text, offset

    async def _answer(
        self, principal: Principal, query: Query, text: str, offset: int, generation: Row
    ) -> SearchPage:
        plan = await self._plan(query, text, offset, generation)
        wanted = offset + query.limit + 1
        # A bound on the score needs the text of every candidate: not of ten thousand.
        deepest = WINDOWS[1] if query.min_score > 0 else _DEEPEST
        for window in (w for w in WINDOWS if (w >= wanted and w <= deepest) or w == deepest):
            found = await self._window(plan, window, last=window == deepest)
            if found.complete or found.total >= wanted:
                break
        self._metrics.searches.labels(plan.mode).inc()
        return await self._page(principal, plan, found)

    async def _generation(self, collection: str) -> Row:
        values = {"collection": collection}
        for row in await self._postgres.fetch(_QUERIES["live_generation"], values):
            return row
        self._live.pop(collection, None)
        known = "select 1 from collections where name = %(collection)s"
        if not await self._postgres.fetch(known, values):
            raise NotFoundError("no such collection")
        raise UnavailableError("the index of this collection is not made yet")

    async def _plan(self, query: Query, text: str, offset: int, generation: Row) -> _Plan:
        mode = self._mode(query, generation)
        asked = terms(text)
        return _Plan(
            query=query,
            offset=offset,
            mode=mode,
            index=generation["index_name"],
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

    async def _window(self, plan: _Plan, window: int, *, last: bool) -> _Found:
        """The visible passages within the window, in final order.

        No connection to PostgreSQL is held while the index or the embedding endpoint works: more
        clients than connections would then wait for each other's searches, not for PostgreSQL.
        """
        query = plan.query
        # One more than the window holds says whether equals go on beyond it. Of the last window all
        # is taken: there is no next one that would have them.
        asked = window if last else window + 1
        try:
            legs = await self._vectors.search(
                plan.index,
                lexical=plan.lexical,
                dense=plan.dense,
                filter=query.filter,
                limit=asked,
            )
        except AistackError as exc:
            row = await self._generation(query.collection)
            if row["index_name"] != plan.index:
                raise _ReplacedError("the index of this collection was replaced") from exc
            raise
        complete = not any(leg.full for leg in legs)
        scores = [dict(zip(leg.ids, leg.scores, strict=True)) for leg in legs]
        lexical = scores[0] if plan.lexical is not None else {}
        cosine = scores[-1] if plan.dense is not None else {}
        if len(legs) == 1:
            ids = legs[0].ids[: settled(legs[0].scores, window)]
        else:
            ids = fuse([(leg.ids, leg.scores) for leg in legs], window)
        if query.min_score == 0:
            rows, total = await self._rows(plan, ids, plan.offset, query.limit)
            return _Found(rows, total, lexical, cosine, complete)
        rows, total = await self._rows(plan, ids, 0, len(ids))
        cosine |= await self._missing_cosines(plan, rows, cosine)
        kept = []
        for number, row in enumerate(rows):
            if number % 100 == 99:
                await asyncio.sleep(0)  # thousands of passages: others must not wait for them all
            if _score(plan, row, cosine) >= query.min_score:
                kept.append(row)
        rows = kept
        page = rows[plan.offset : plan.offset + query.limit]
        return _Found(page, len(rows), lexical, cosine, complete)

    async def _rows(
        self, plan: _Plan, ids: list[str], offset: int, limit: int
    ) -> tuple[list[Row], int]:
        """A page of what is visible of these passages, and how many are."""
        values = {
            # As PostgreSQL writes arrays: half the cost of the driver's way with a list.
            "ids": "{" + ",".join(ids) + "}",
            "collection": plan.query.collection,
            "offset": offset,
            "limit": limit,
        }
        rows = await self._postgres.fetch(_QUERIES["hits"], values)
        if rows[0]["live"] != plan.index:
            raise _ReplacedError("the index of this collection was replaced")
        return [row for row in rows if row["chunk_id"] is not None], rows[0]["total"]

    async def _missing_cosines(
        self, plan: _Plan, rows: list[Row], known: dict[str, float]
    ) -> dict[str, float]:
        """Cosines of hits that only the words found: a similarity is told for every hit."""
        missing = [row["chunk_id"] for row in rows if row["chunk_id"] not in known]
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
        cosine = found.cosine | await self._missing_cosines(plan, found.rows, found.cosine)
        hits: list[Hit] = []
        size = 0
        for row in found.rows:
            size += len(row["text"].encode())
            if hits and size > self._limits.result_bytes:
                break
            chunk_id = row["chunk_id"]
            hits.append(
                Hit(
                    document_id=row["document_id"],
                    chunk_id=UUID(chunk_id),
                    collection=row["collection"],
                    project=row["project"],
                    path=row["path"],
                    title=row["title"],
                    heading=row["heading"],
                    text=row["text"],
                    score=round(_score(plan, row, cosine), 6),
                    signals=Signals(found.bm25.get(chunk_id), cosine.get(chunk_id)),
                    metadata=row["metadata"],
                )
            )
        truncated = size > self._limits.result_bytes and len(hits) < len(found.rows)
        end = plan.offset + len(hits)
        more = end < found.total
        return SearchPage(
            hits=hits,
            total=Total(found.total, "exact" if found.complete else "at_least"),
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
            raise InvalidError(
                "give offset or cursor, not both", pointer="/offset", reason="cursor"
            )
        try:
            offset, name = msgspec.msgpack.decode(
                self._signer.verify(query.cursor), type=tuple[int, bytes]
            )
        except msgspec.DecodeError as exc:
            raise InvalidError(
                "this cursor is of another listing", pointer="/cursor", reason="cursor"
            ) from exc
        if name != _name(principal, query):
            raise InvalidError(
                "this cursor is of another query", pointer="/cursor", reason="cursor"
            )
        return offset


def _text(query: Query, max_bytes: int) -> str:
    text = clean(query.query, field="query", max_bytes=max_bytes).strip()
    if not text:
        raise InvalidError("the query is empty", pointer="/query", reason="empty")
    return text


def _name(principal: Principal, query: Query) -> bytes:
    """What a cursor is good for: this key and this query, whatever the page size."""
    same = structs.replace(query, cursor=None, offset=0, limit=1)
    raw = msgspec.msgpack.encode((principal.key_id, same))
    return hashlib.blake2b(raw, digest_size=12).digest()


def _score(plan: _Plan, row: Row, cosine: dict[str, float]) -> float:
    covered = 0.0
    if plan.mode != "dense":
        passage = f"{row['title']}\n{row['heading']}\n{row['text']}"
        covered = bm25.coverage(plan.terms, present(plan.terms, passage))
    return max(covered, min(1.0, max(0.0, cosine.get(row["chunk_id"], 0.0))))
