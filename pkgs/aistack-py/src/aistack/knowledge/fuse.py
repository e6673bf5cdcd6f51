"""Reciprocal rank fusion whose order does not change as deeper pages are read.

Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet ...", SIGIR 2009.
"""

from collections.abc import Sequence

RRF_K = 60
WINDOWS = (100, 1000, 10_000)
"""How deep each way of search is read, step by step."""

Ranked = tuple[Sequence[str], Sequence[float]]
"""Ids, best first, and their scores."""


def settled(scores: Sequence[float], window: int) -> int:
    """How many of the first ``window`` are there for certain.

    Which of many equals the engine gives is chance: where a group of them goes on beyond the
    window, all of it belongs to the next.
    """
    if len(scores) <= window:
        return len(scores)
    if scores[window - 1] != scores[window]:
        return window
    return scores.index(scores[window])


def fuse(legs: Sequence[Ranked], window: int = WINDOWS[-1]) -> list[str]:
    """Merge ranked lists into one, best first, of what is settled within the window.

    Plain RRF changes when the lists get longer. Here an id belongs to the smallest window that
    holds its best rank, and only ranks inside that window count for it. So the order of all ids
    within a window is the same for any lists that are longer than it.
    """
    inside = WINDOWS[: WINDOWS.index(window) + 1]
    bounds = [[settled(scores, one) for one in inside] for _, scores in legs]
    ranks: dict[str, list[tuple[int, int]]] = {}
    for leg, (ids, _) in enumerate(legs):
        for rank, item in enumerate(ids[: bounds[leg][-1]]):
            ranks.setdefault(item, []).append((leg, rank))

    def key(item: str) -> tuple[int, float, str]:
        found = ranks[item]
        block = next(
            i for i in range(len(inside)) if any(rank < bounds[leg][i] for leg, rank in found)
        )
        score = sum(1 / (RRF_K + rank + 1) for leg, rank in found if rank < bounds[leg][block])
        return block, -score, item

    return sorted(ranks, key=key)
