"""BM25 as sparse vectors: the passage's part here, the IDF in Qdrant (modifier ``idf``).

Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
"""

from collections import Counter
from collections.abc import Collection

from msgspec import Struct

from aistack.knowledge.terms import term_id

K1 = 1.2
B = 0.75
DEFAULT_AVGDL = 150.0
"""Terms of an average passage, for a collection that has none yet to measure."""


class SparseVector(Struct, frozen=True):
    """Term ids, ascending, and their weights."""

    indices: list[int]
    values: list[float]


def passage_vector(terms: Counter[str], *, avgdl: float) -> SparseVector:
    """Weights tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / avgdl))."""
    length = terms.total()
    norm = K1 * (1 - B + B * length / avgdl)
    weights: dict[int, float] = {}
    for term, count in terms.items():
        index = term_id(term)
        weights[index] = weights.get(index, 0.0) + count * (K1 + 1) / (count + norm)
    return _vector(weights)


def question_vector(terms: Counter[str]) -> SparseVector:
    """One for each term: in a question, repetition says nothing."""
    return _vector({term_id(term): 1.0 for term in terms})


def coverage(question: Counter[str], passage: Collection[str]) -> float:
    """The share of the question's terms that the passage has, 0 to 1."""
    return sum(term in passage for term in question) / len(question) if question else 0.0


def _vector(weights: dict[int, float]) -> SparseVector:
    indices = sorted(weights)
    return SparseVector(indices, [weights[i] for i in indices])
