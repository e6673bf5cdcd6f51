"""Solutions whose question and answer both say what another one's say.

Sketches name candidates, which are then compared exactly. Solutions with embeddings of one model
are compared by them, those without by their terms.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from aistack.coordinator.similarity import Near, Pair, side_of, similarity
from aistack.coordinator.trash import Seen
from aistack.gc.context import Context
from aistack.gc.model import Step, TierReport
from aistack.gc.sketches import Floats, Sketcher, Sketches, pairs
from aistack.kit.ahead import ahead
from aistack.knowledge.terms import term_id, terms
from aistack.stores.sqlfile import load_queries

_QUERIES = load_queries("aistack.gc", "gc.sql")
_PAGE = 1000
_HASHED = 256
"""Numbers that stand for the terms of a text."""
_BLUR = 0.05
"""What the hashing of terms may take from a similarity."""
_ID_BYTES = 16
_TOGETHER = 100
"""Candidates that are compared at once."""
_CANDIDATES = 16
"""Better solutions that one is compared with exactly."""

Row = dict[str, Any]


class _Sketched(Struct):
    """All solutions of one kind, the best first."""

    raw_ids: NDArray[np.void]
    sketches: Sketches
    new: NDArray[np.bool_]
    differing: float
    """The share of signs in which two at the threshold differ."""

    def id(self, place: int) -> UUID:
        """The solution at a place."""
        return UUID(bytes=self.raw_ids[place].tobytes())


async def steps(context: Context) -> AsyncIterator[Step]:
    """Duplicates of a better solution, until the allowance is used up."""
    with context.tier("duplicates") as report:
        since = context.compared_until
        values = {"since": since}
        (count,) = await context.postgres.fetch(_QUERIES["count_new"], values)
        if count["number"]:
            for kind in await context.postgres.fetch(_QUERIES["kinds"], {}):
                async for step in _of_kind(context, report, kind | {"since": since}):
                    yield step
        if not report.held_back:
            context.finished = context.moment.seen_until


async def _of_kind(context: Context, report: TierReport, kind: Row) -> AsyncIterator[Step]:
    known = await _read(context, kind)
    if known is None:
        return
    better, worse = await asyncio.to_thread(
        pairs, known.sketches, known.new, known.differing, context.seed
    )
    candidates: dict[int, list[int]] = {}
    for one, other in zip(better.tolist(), worse.tolist(), strict=True):
        candidates.setdefault(other, []).append(one)
    # A solution goes for one that stays, never for one that goes itself: what is like a
    # duplicate need not be like the best. So the better ones are decided first.
    order = sorted(candidates)
    for start in range(0, len(order), _TOGETHER):
        places = order[start : start + _TOGETHER]
        rows = await _rows(context, known, candidates, places)
        for place in places:
            row = rows.get(known.id(place))
            if row is None or row["pinned"] or row["id"] in context.keepers:
                continue
            near = await _nearest(context, row, _staying(context, known, candidates[place], rows))
            if near is None:
                continue
            if context.allowance <= 0:
                report.held_back += 1
                return
            report.discards += 1
            context.gone.add(row["id"])
            context.keepers.add(near.id)
            yield _step(row, near)


def _staying(
    context: Context, known: _Sketched, better: Iterable[int], rows: dict[UUID, Row]
) -> list[Row]:
    """The better solutions that are not to go, best first."""
    ids = (known.id(place) for place in sorted(better))
    found = [rows[own] for own in ids if own in rows and own not in context.gone]
    return found[:_CANDIDATES]


async def _nearest(context: Context, row: Row, better: Sequence[Row]) -> Near | None:
    """The first of the better ones that says the same."""
    least = context.settings.duplicate_similarity
    for other in better:
        near = await asyncio.to_thread(_compare, row, other)
        if near.both >= least:
            return near
    return None


def _compare(row: Row, other: Row) -> Near:
    one, two = _pair(row), _pair(other)
    question = similarity(one.question, two.question)
    return Near(other["id"], question, similarity(one.answer, two.answer))


def _pair(row: Row) -> Pair:
    model = row["vector_model"]
    return Pair(
        side_of(row["question"], row["question_vector"], model),
        side_of(row["answer"], row["answer_vector"], model),
    )


async def _rows(
    context: Context, known: _Sketched, candidates: dict[int, list[int]], places: Sequence[int]
) -> dict[UUID, Row]:
    """What is compared exactly: the solutions of these places and the best of their candidates."""
    wanted = set(places)
    for place in places:
        staying = (p for p in sorted(candidates[place]) if known.id(p) not in context.gone)
        wanted.update(p for p, _ in zip(staying, range(_CANDIDATES), strict=False))
    ids = [known.id(place) for place in wanted]
    rows = await context.postgres.fetch(_QUERIES["compared"], {"ids": ids})
    return {row["id"]: row for row in rows}


async def _read(context: Context, kind: Row) -> _Sketched | None:
    """Sketch all solutions of a kind, page by page; None where there is no pair."""
    sketcher: Sketcher | None = None
    sketches: list[Sketches] = []
    ranks: list[NDArray[np.float64]] = []
    new: list[NDArray[np.bool_]] = []
    ids = bytearray()
    read = context.postgres.pages(_QUERIES["sketched"], kind | {"limit": _PAGE}, binary=True)
    async with aclosing(ahead(read)) as pages:
        async for page in pages:
            rows = [row for row in page if row["ours"] and row["id"] not in context.gone]
            if not rows:
                continue
            vectors = await asyncio.to_thread(_vectors, rows)
            if sketcher is None:
                sketcher = await asyncio.to_thread(Sketcher, vectors, context.seed)
            sketches.append(await asyncio.to_thread(sketcher.sketch, vectors))
            ranks.append(np.array([_rank(row) for row in rows]))
            new.append(np.array([row["new"] for row in rows]))
            ids += b"".join(row["id"].bytes for row in rows)
    if sketcher is None or len(ids) < 2 * _ID_BYTES:
        return None
    rank = np.concatenate(ranks)
    order = np.lexsort((rank[:, 3], -rank[:, 2], -rank[:, 1], -rank[:, 0]))  # ties: by id
    raw = np.frombuffer(bytes(ids), dtype=f"V{_ID_BYTES}")[order]
    least = context.settings.duplicate_similarity - (0 if kind["bytes"] else _BLUR)
    return _Sketched(
        raw, np.concatenate(sketches)[order], np.concatenate(new)[order], sketcher.differing(least)
    )


def _rank(row: Row) -> tuple[float, ...]:
    """What makes one solution better than another, the weightiest first; the last one if lower."""
    return (
        float(row["pinned"]),
        row["value"],
        row["used_at"].timestamp(),
        row["created_at"].timestamp(),
    )


def _vectors(rows: Sequence[Row]) -> Floats:
    """Question and answer of each solution as one vector of length 1.

    The cosine of two of them is the mean of the cosines of questions and of answers: so at least
    the threshold where both are.
    """
    sides = [np.stack([_vector(row, side) for row in rows]) for side in ("question", "answer")]
    lengths = [np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    units = [side / np.maximum(n, 1e-12) for side, n in zip(sides, lengths, strict=True)]
    return np.asarray(np.hstack(units) / math.sqrt(2), np.float32)


def _vector(row: Row, side: str) -> Floats:
    raw = row[f"{side}_vector"]
    if raw is not None:
        return np.frombuffer(raw, "<f4")
    vector = np.zeros(_HASHED, np.float32)
    for term, count in terms(row[side]).items():
        place = term_id(term)
        vector[place % _HASHED] += count if place & _HASHED else -count
    return vector


def _step(row: Row, near: Near) -> Step:
    return Step(
        tier="duplicates",
        action="discard",
        subject=row["id"],
        reason="duplicate",
        evidence={
            "question": round(near.question, 4),
            "answer": round(near.answer, 4),
            "value": round(row["value"], 4),
        },
        seen=Seen.of(row),
        keeper=near.id,
    )
