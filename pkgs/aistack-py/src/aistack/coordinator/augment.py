"""Context for a question: solutions and passages within a budget of tokens, and a route hint."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct, structs

from aistack.access.model import Principal
from aistack.coordinator import tokens
from aistack.coordinator.model import (
    COLLECTION,
    Augmentation,
    AugmentQuery,
    Route,
    Source,
)
from aistack.coordinator.sessions import Sessions
from aistack.coordinator.similarity import Nearest, Side, side_of, similarity
from aistack.coordinator.uses import Uses
from aistack.errors import InvalidError
from aistack.kit.text import clean, composed
from aistack.knowledge.model import Hit, Query
from aistack.knowledge.search import Search
from aistack.monitoring.learning import LearningMetrics
from aistack.settings.schema import Settings
from aistack.stores.postgres import Postgres
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_HITS = 20
"""Passages that are asked of each collection."""
_PASSAGE = 0.6
"""What a passage's similarity weighs; a solution's weighs from 0.5 to 1, by its value."""
_CUT = "\n[cut]"
_SEPARATOR = "\n\n"
_LEAST = 48
"""Tokens of the shortest cut piece that is still worth its place."""
_TURNS = 4
"""The share of the budget that a session's turns may take: one in so many."""

Row = dict[str, Any]


class _Piece(Struct, frozen=True):
    """What may go into the context."""

    source: Source
    text: str
    side: Side
    """What duplicates are told by: a solution's answer, a passage's text."""


class Augment:
    """Makes contexts."""

    def __init__(
        self,
        postgres: Postgres,
        search: Search,
        nearest: Nearest,
        sessions: Sessions,
        uses: Uses,
        settings: Settings,
        metrics: LearningMetrics,
    ) -> None:
        self._postgres = postgres
        self._search = search
        self._nearest = nearest
        self._sessions = sessions
        self._uses = uses
        self._settings = settings
        self._metrics = metrics

    async def augment(self, principal: Principal, query: AugmentQuery) -> Augmentation:
        """Context for a question, the most valuable first.

        Raises:
            InvalidError: the question is empty or too large.
            NotFoundError: no such collection.
            ConflictError, UnavailableError: as search raises them.
        """
        principal.require("read")
        most = self._settings.limits.query_bytes
        question = clean(query.question, field="question", max_bytes=most).strip()
        if not question:
            raise InvalidError("the question is empty", pointer="/question", reason="empty")
        budget = query.budget_tokens or self._settings.learning.token_budget
        found = await self._found(principal, query, question)
        turns = await self._turns(principal, query, budget // _TURNS)
        chosen, said = await asyncio.to_thread(self._chosen, found, turns, budget)
        context = _SEPARATOR.join(piece.text for piece in chosen)
        size = await asyncio.to_thread(tokens.estimate, context)
        sources = [piece.source for piece in chosen]
        known = sources + [piece.source for piece in said]
        route = _route(known, self._settings.learning.route_confidence)
        self._uses.count(source.id for source in sources if source.kind == "solution")
        self._metrics.augmentations.labels(route.target).inc()
        self._metrics.context_tokens.observe(size)
        return Augmentation(
            context=context, tokens=size, budget_tokens=budget, sources=sources, route=route
        )

    async def _found(
        self, principal: Principal, query: AugmentQuery, question: str
    ) -> list[_Piece]:
        """Everything relevant that the caller may see."""
        named = list(dict.fromkeys(query.collections))
        if COLLECTION not in named and principal.sees(COLLECTION):
            named.append(COLLECTION)
        queries = [
            Query(query=question, collection=name, mode=query.mode, limit=_HITS) for name in named
        ]
        try:
            pages = await asyncio.gather(*(self._search.search(principal, q) for q in queries))
        except InvalidError as exc:
            if exc.pointer == "/query":  # as search calls the field
                exc.pointer = "/question"
            raise
        hits = [hit for page in pages for hit in page.hits]
        solutions = await self._solutions(hits)
        (asked,) = await self._nearest.sides([question]) if solutions else (Side(question),)
        return await asyncio.to_thread(_pieces, hits, solutions, asked, query.min_score)

    async def _solutions(self, hits: Sequence[Hit]) -> dict[UUID, Row]:
        """The solutions among the hits, by their documents."""
        documents = [hit.document_id for hit in hits if hit.collection == COLLECTION]
        if not documents:
            return {}
        values = {"documents": documents}
        rows = await self._postgres.fetch(_QUERIES["solutions_of_documents"], values)
        return {row["document_id"]: row for row in rows}

    def _chosen(
        self, found: Sequence[_Piece], turns: list[_Piece], budget: int
    ) -> tuple[list[_Piece], list[_Piece]]:
        """The turns and what else fits, in order; and what a turn has said already."""
        fresh, said = self._distinct(found, turns)
        used = sum(piece.source.tokens for piece in turns)
        return turns + _fit(fresh, budget - used), said

    def _distinct(
        self, pieces: Sequence[_Piece], turns: Sequence[_Piece]
    ) -> tuple[list[_Piece], list[_Piece]]:
        """The pieces by rank, each without those that say the same as one before it.

        Returns:
            Those that no turn has said already, and those that one has.
        """
        least = self._settings.learning.merge_similarity
        fresh: list[_Piece] = []
        said: list[_Piece] = []
        for piece in sorted(pieces, key=lambda p: (-p.source.rank, str(p.source.id))):
            if any(similarity(piece.side, turn.side) >= least for turn in turns):
                said.append(piece)
            elif all(similarity(piece.side, other.side) < least for other in fresh):
                fresh.append(piece)
        return fresh, said

    async def _turns(self, principal: Principal, query: AugmentQuery, budget: int) -> list[_Piece]:
        """The newest turns of the session that fit, oldest first."""
        if query.session is None:
            return []
        kept: list[_Piece] = []
        turns = await self._sessions.turns(principal, composed(query.session))
        for turn in reversed(turns):
            text = f"## Earlier in this conversation\n\n> {turn.question}\n\n{turn.response}"
            piece = _Piece(_source("turn", turn.id, turn.question), text, Side(turn.response))
            fitting = _fit([piece], budget)
            if not fitting or fitting[0].source.truncated:
                break  # half a turn misleads more than none
            budget -= fitting[0].source.tokens
            kept += fitting
        return kept[::-1]


def _pieces(
    hits: Sequence[Hit], solutions: dict[UUID, Row], asked: Side, min_score: float
) -> list[_Piece]:
    """A piece for each solution and for each other passage."""
    pieces: dict[UUID, _Piece] = {}
    for hit in hits:
        row = solutions.get(hit.document_id)
        if row is not None and row["id"] in pieces:
            continue  # another passage of the same solution
        piece = _passage(hit) if row is None else _solution(hit, row, asked)
        if piece is not None and piece.source.score >= min_score:
            pieces[piece.source.id] = piece
    return list(pieces.values())


def _source(kind: Any, own: UUID, title: str) -> Source:
    return Source(
        kind=kind,
        id=own,
        document_id=None,
        collection=None,
        title=" ".join(title.split())[:200],
        score=0.0,
        value=None,
        rank=0.0,
        tokens=0,
        truncated=False,
    )


def _passage(hit: Hit) -> _Piece:
    place = f"{hit.title} > {hit.heading}" if hit.heading else hit.title
    source = structs.replace(
        _source("passage", hit.chunk_id, place),
        document_id=hit.document_id,
        collection=hit.collection,
        score=hit.score,
        rank=round(_PASSAGE * hit.score, 6),
    )
    text = f"## {source.title} ({hit.collection}: {hit.path})\n\n{hit.text}"
    return _Piece(source, text, Side(hit.text))


def _solution(hit: Hit, row: Row, asked: Side) -> _Piece | None:
    """A solution as a piece; None for one that failed more often than it helped."""
    if row["failures"] > row["successes"] + row["partials"] and not row["pinned"]:
        return None
    own = side_of(row["question"], row["question_vector"], row["vector_model"])
    others = [Side(example) for example in row["examples"]]
    score = max(similarity(asked, side) for side in (own, *others))
    source = structs.replace(
        _source("solution", row["id"], row["question"]),
        document_id=row["document_id"],
        collection=hit.collection,
        score=round(score, 6),
        value=row["value"],
        rank=round(score * (0.5 + 0.5 * row["value"]), 6),
    )
    text = f"## Solved before: {source.title}\n\n{row['answer']}"
    vector = row["answer_vector"]
    return _Piece(source, text, side_of(row["answer"], vector, row["vector_model"]))


def _fit(pieces: Sequence[_Piece], budget: int) -> list[_Piece]:
    """As many pieces as the budget takes, in order; one that is too long is cut or left out.

    The estimate of the joined text is at most the sum of the estimates of its parts.
    """
    fitting = []
    for piece in pieces:
        text: str | None = piece.text
        size = tokens.estimate(piece.text + _SEPARATOR)
        truncated = size > budget
        if truncated:
            text = tokens.cut(piece.text, budget, _CUT + _SEPARATOR) if budget >= _LEAST else None
            if text is None:
                continue
            size = tokens.estimate(text)
            text = text.removesuffix(_SEPARATOR)
        budget -= size
        source = structs.replace(piece.source, tokens=size, truncated=truncated)
        fitting.append(structs.replace(piece, source=source, text=text))
    return fitting


def _route(sources: Sequence[Source], threshold: float) -> Route:
    """Local where the best source that was not cut is as good as the threshold asks.

    The confidence is that source's rank: similarity times 0.5 to 1 by value for a solution,
    times 0.6 for a passage, which nobody has said to be an answer.
    """
    best = max(
        (s for s in sources if s.kind != "turn" and not s.truncated),
        key=lambda s: s.rank,
        default=None,
    )
    confidence = best.rank if best is not None else 0.0
    if best is None:
        reason = "nothing that is known speaks of the question"
    elif best.kind == "solution":
        reason = f"a solution of similarity {best.score:.2f} and value {best.value:.2f}"
    else:
        reason = f"a passage of similarity {best.score:.2f}"
    enough = best is not None and confidence >= threshold
    return Route("local" if enough else "remote", confidence, threshold, reason)
