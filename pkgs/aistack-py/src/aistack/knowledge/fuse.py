"""Reciprocal rank fusion whose order does not change as deeper pages are read.

Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms Condorcet ...", SIGIR 2009.
"""

from collections.abc import Sequence

RRF_K = 60
WINDOWS = (100, 1000, 10_000)
"""How deep each way of search is read, step by step."""


def fuse(legs: Sequence[Sequence[str]]) -> list[str]:
    """Merge ranked lists into one, best first.

    Plain RRF changes when the lists get longer. Here an id belongs to the smallest window that
    holds its best rank, and only ranks inside that window count for it. So the order of all ids
    within a window is the same for any lists at least that long.
    """
    ranks: dict[str, list[int]] = {}
    for leg in legs:
        for rank, item in enumerate(leg):
            ranks.setdefault(item, []).append(rank)

    def key(item: str) -> tuple[int, float, str]:
        best = min(ranks[item])
        block = next((i for i, w in enumerate(WINDOWS) if best < w), len(WINDOWS))
        bound = WINDOWS[block] if block < len(WINDOWS) else best + 1
        score = sum(1 / (RRF_K + rank + 1) for rank in ranks[item] if rank < bound)
        return block, -score, item

    return sorted(ranks, key=key)
