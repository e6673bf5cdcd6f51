"""How alike two texts are, 0 to 1; and the earlier solutions that are nearest to an interaction.

The cosine of embeddings where both texts have one of the same model, else the cosine of term
frequencies. Search on the index names candidates; they are then compared exactly, question with
question and answer with answer.
"""

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from operator import mul
from typing import Any
from uuid import UUID

from msgspec import Struct

from aistack.access.model import LOCAL_OPERATOR
from aistack.coordinator.model import COLLECTION, PROJECT
from aistack.errors import AistackError, ConflictError, UnavailableError
from aistack.knowledge.embed import Embedder, Vector, pack, unpack
from aistack.knowledge.model import Filter, Mode, Query
from aistack.knowledge.search import Search
from aistack.knowledge.terms import terms
from aistack.settings.schema import Settings
from aistack.stores.postgres import Connection, Postgres
from aistack.stores.sqlfile import load_queries

log = logging.getLogger(__name__)

_QUERIES = load_queries("aistack.coordinator", "coordinator.sql")
_CANDIDATES = 50
"""Passages that search is asked for."""
_COMPARED = 100
"""Solutions, those with the nearest questions, whose answers are compared: many answers to one
question are the rule where models word them."""
_RENEWED = 4
"""Solutions whose vectors are made anew at once: an answer must not wait for many."""
_PIECE = 1200
"""Characters that are embedded at once: what the models of today read whole."""
_PIECES = 32
"""Most pieces of a text with a vector; a vector of its beginning alone would be false."""

Row = dict[str, Any]


class Side:
    """One text, ready to be compared; its terms are made when they are needed."""

    def __init__(self, text: str, vector: Vector | None = None, model: str | None = None) -> None:
        self.text = text
        self.vector = vector
        self.model = model if vector is not None else None

    @cached_property
    def terms(self) -> Counter[str]:
        """How often each term occurs."""
        return terms(self.text)


class Pair(Struct, frozen=True):
    """A question and its answer."""

    question: Side
    answer: Side


class Near(Struct, frozen=True):
    """How near an earlier solution is."""

    id: UUID
    question: float
    answer: float

    @property
    def both(self) -> float:
        """The similarity of the pair: of its less similar side."""
        return min(self.question, self.answer)


def similarity(one: Side, other: Side) -> float:
    """How alike two texts are: 1 for the same text, never below 0."""
    if one.text == other.text:
        return 1.0
    if one.vector is not None and other.vector is not None and one.model == other.model:
        return cosine(one.vector, other.vector)
    return term_cosine(one.terms, other.terms)


def cosine(one: Vector, other: Vector) -> float:
    """Cosine of two vectors, in [0,1]; opposite directions count as 0, as do lengths that differ.

    Vectors have a direction: the embedder lets no other through.
    """
    if len(one) != len(other):
        return 0.0
    return _unit(sum(map(mul, one, other)) / (math.hypot(*one) * math.hypot(*other)))


def term_cosine(one: Counter[str], other: Counter[str]) -> float:
    """Cosine of two counts of terms, in [0,1]; 0 where one has none."""
    small, large = sorted((one, other), key=len)
    product = sum(count * large[term] for term, count in small.items() if term in large)
    if product == 0:
        return 0.0
    squares = [math.fsum(count * count for count in side.values()) for side in (one, other)]
    return _unit(product / math.sqrt(squares[0] * squares[1]))


def side_of(text: str, vector: bytes | None, model: str | None) -> Side:
    """A stored text with its stored vector, where it has one."""
    return Side(text, unpack(bytes(vector)) if vector is not None else None, model)


class Nearest:
    """Finds the earlier solutions that are nearest to a question and its answer."""

    def __init__(
        self, postgres: Postgres, search: Search, embedder: Embedder, settings: Settings
    ) -> None:
        self._postgres = postgres
        self._search = search
        self._embedder = embedder
        self._embed_s = settings.embeddings.query_timeout_s

    async def sides(self, texts: Sequence[str]) -> list[Side]:
        """The texts with vectors where an endpoint gives them now, else without."""
        pieces = [[t[i : i + _PIECE] for i in range(0, len(t), _PIECE)] for t in texts]
        whole = [group if len(group) <= _PIECES else [] for group in pieces]
        if not self._embedder.enabled or not any(whole):
            return [Side(text) for text in texts]
        try:
            async with asyncio.timeout(self._embed_s):
                vectors = await self._embedder.passages([p for group in whole for p in group])
        except (AistackError, TimeoutError) as exc:
            # What was asked and how it ended must not get lost for want of an endpoint.
            log.warning("compared by words, not by meaning: %s", str(exc) or "no answer in time")
            return [Side(text) for text in texts]
        found, rest = [], iter(vectors)
        for text, group in zip(texts, whole, strict=True):
            own = [next(rest) for _ in group]
            found.append(Side(text, _mean(own) if own else None, self._embedder.model))
        return found

    async def look(self, pair: Pair) -> dict[UUID, Near]:
        """The nearest solutions that are known now, by id."""
        documents = await self._found_by_search(pair.question)
        values = _values(pair, documents, ())
        rows = await self._postgres.fetch(_QUERIES["candidates"], values)
        if pair.question.vector is not None:  # the endpoint answered just now
            rows = await self._renewed(documents, rows)
        ranked = await asyncio.to_thread(_by_question, pair, rows)
        ids = [row["id"] for _, row in ranked]
        answers = await self._postgres.fetch(_QUERIES["answers"], {"ids": ids})
        return await asyncio.to_thread(_compare, pair, ranked, answers)

    async def _renewed(self, documents: Sequence[UUID], rows: list[Row]) -> list[Row]:
        """The rows, the first few with vectors of today's model: it was changed, or was away."""
        place = {document: number for number, document in enumerate(documents)}
        stale = [row for row in rows if row["vector_model"] != self._embedder.model]
        stale.sort(key=lambda row: (place.get(row["document_id"], len(place)), row["id"]))
        if not stale:
            return rows
        ids = [row["id"] for row in stale[:_RENEWED]]
        found = await self._postgres.fetch(_QUERIES["answers"], {"ids": ids})
        sides = await self.sides([t for row in found for t in (row["question"], row["answer"])])
        fresh: dict[UUID, Row] = {}
        for row, question, answer in zip(found, sides[::2], sides[1::2], strict=True):
            if question.vector is not None and answer.vector is not None:
                fresh[row["id"]] = {
                    "id": row["id"],
                    "vector_model": question.model,
                    "question_vector": pack(question.vector),
                    "answer_vector": pack(answer.vector),
                }
        if fresh:
            async with self._postgres.transaction() as conn:
                for own in sorted(fresh):
                    await conn.execute(_QUERIES["renew_vectors"], fresh[own])
        return [row | fresh.get(row["id"], {}) for row in rows]

    async def look_again(
        self, conn: Connection, pair: Pair, known: Iterable[UUID]
    ) -> dict[UUID, Near]:
        """What came since `look`: search may not know of it yet, PostgreSQL does."""
        values = _values(pair, (), known)
        rows = await (await conn.execute(_QUERIES["candidates"], values)).fetchall()
        if not rows:
            return {}
        ranked = await asyncio.to_thread(_by_question, pair, rows)
        ids = [row["id"] for _, row in ranked]
        answers = await (await conn.execute(_QUERIES["answers"], {"ids": ids})).fetchall()
        return await asyncio.to_thread(_compare, pair, ranked, answers)

    async def _found_by_search(self, question: Side) -> list[UUID]:
        """Documents of solutions with similar questions; none while the index is away."""
        # As the service itself: whether the caller may learn at all is settled before.
        # Without a vector there is no endpoint, or it does not answer: it is not waited for twice.
        modes: tuple[Mode, ...] = ("auto", "lexical") if question.vector else ("lexical",)
        for mode in modes:
            query = Query(
                query=question.text,
                collection=COLLECTION,
                mode=mode,
                filter=Filter(project=PROJECT),
                limit=_CANDIDATES,
            )
            try:
                page = await self._search.search(LOCAL_OPERATOR, query)
            except (UnavailableError, ConflictError) as exc:
                log.warning("search for earlier solutions (%s): %s", mode, exc.detail)
                continue
            except AistackError as exc:  # this one question: too long for the model, say
                log.info("search for earlier solutions (%s): %s", mode, exc.detail)
                continue
            return list(dict.fromkeys(hit.document_id for hit in page.hits))
        return []


def _values(pair: Pair, documents: Sequence[UUID], known: Iterable[UUID]) -> Row:
    return {
        "question": pair.question.text,
        "answer": pair.answer.text,
        "documents": list(documents),
        "known": list(known),
        "collection": COLLECTION,
    }


def _by_question(pair: Pair, rows: Sequence[Row]) -> list[tuple[float, Row]]:
    """The rows with the nearest questions, nearest first; of equal ones the very same answer."""
    scored = [
        (
            similarity(
                pair.question, side_of(r["question"], r["question_vector"], r["vector_model"])
            ),
            r,
        )
        for r in rows
    ]
    return sorted(scored, key=lambda p: (-p[0], not p[1]["same"], p[1]["id"]))[:_COMPARED]


def _compare(
    pair: Pair, ranked: Sequence[tuple[float, Row]], answers: Sequence[Row]
) -> dict[UUID, Near]:
    texts = {row["id"]: row["answer"] for row in answers}
    found = {}
    for question, row in ranked:
        if (text := texts.get(row["id"])) is not None:  # else it was deleted meanwhile
            own = side_of(text, row["answer_vector"], row["vector_model"])
            found[row["id"]] = Near(row["id"], question, similarity(pair.answer, own))
    return found


def _mean(vectors: Sequence[Vector]) -> Vector:
    """The direction of several pieces of one text."""
    lengths = [math.hypot(*vector) for vector in vectors]
    mean = [
        math.fsum(vector[i] / length for vector, length in zip(vectors, lengths, strict=True))
        for i in range(len(vectors[0]))
    ]
    # Pieces that cancel each other out leave no direction; the first one's is better than none.
    return mean if math.hypot(*mean) > 1e-6 else vectors[0]


def _unit(number: float) -> float:
    return min(1.0, max(0.0, round(number, 9)))
