"""Finds pairs of similar vectors among many without comparing each with each.

Every vector is sketched by the signs of 512 random projections: two vectors with an angle a differ
in each sign with probability a / pi (Charikar, "Similarity estimation techniques from rounding
algorithms", 2002). Vectors that agree in all signs of one of many random choices of signs are
compared by all their signs, and what is still close is a candidate. So the work grows with the
number of vectors, not with its square, and memory is 128 bytes a vector, not 3 kB. A pair at the
very threshold is missed a few times in a thousand; the more alike, the less often.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Sketches = NDArray[np.uint64]

BITS = 512
_MISSED = 0.001
"""Chance that a pair at the threshold shares no block."""
_MOST_BLOCKINGS = 96
_PLACE_BITS = np.uint64(28)
_PLACE_MASK = np.uint64(2**28 - 1)
_WIDEST = 64 - int(_PLACE_BITS)
_ENOUGH = 64
"""Vectors that a mean says something of."""
_ALIKE = 0.9
_NEIGHBOURS = 32
"""Vectors of a block that each is compared with, besides the first: a flood of equal ones makes
blocks in which each would be compared with each."""


class Sketcher:
    """Turns vectors of one kind into sketches.

    Args:
        sample: vectors of that kind, of length 1, in rows. Their mean is taken out of all, since
            many models put everything into one narrow cone.
        seed: of the projections; another one misses other pairs.
    """

    def __init__(self, sample: Floats, seed: int) -> None:
        distinct = _distinct(sample)
        enough = len(distinct) >= _ENOUGH
        self._mean = distinct.mean(axis=0) if enough else np.zeros(sample.shape[1], np.float32)
        chance = np.random.default_rng(seed)
        self._planes = chance.standard_normal((sample.shape[1], BITS), dtype=np.float32)

    def sketch(self, vectors: Floats) -> Sketches:
        """The sketches of vectors, in rows of 8 numbers."""
        signs = (vectors - self._mean) @ self._planes > 0
        return np.packbits(signs, axis=1).view(np.uint64)

    def differing(self, similarity: float) -> float:
        """The share of signs in which two vectors of this cosine differ."""
        # Both lose the part that they share with everything.
        shared = float(self._mean @ self._mean)
        cosine = (similarity - shared) / (1 - shared) if shared < similarity else 0.0
        return math.acos(min(1.0, cosine)) / math.pi


def _distinct(sample: Floats) -> Floats:
    """The rows that are not much like an earlier one: a flood of equal ones is no direction."""
    alike = np.tril(sample @ sample.T > _ALIKE, -1)
    kept = np.ones(len(sample), bool)
    for row in range(1, len(sample)):
        kept[row] = not (alike[row] & kept).any()
    return sample[kept]


def pairs(
    sketches: Sketches, new: NDArray[np.bool_], differing: float, seed: int
) -> tuple[Ints, Ints]:
    """The pairs (i, j), i < j, that seem to differ in at most this share, at least one of them new.

    The order of the sketches matters where many are alike: the first of them is compared with all.
    """
    number = len(sketches)
    found = np.empty(0, np.int64)
    if number > 1 and new.any():
        chance = np.random.default_rng(seed)
        width = _width(sketches, chance)
        agreeing = min(0.999, (1 - differing) ** width)
        blockings = math.ceil(math.log(_MISSED) / math.log1p(-agreeing))
        spread = math.sqrt(BITS * differing * (1 - differing))
        limit = BITS * differing + 5 * spread + 1
        octets = np.ascontiguousarray(sketches.view(np.uint8).T)
        for _ in range(min(blockings, _MOST_BLOCKINGS)):
            codes = _codes(octets, chance.choice(BITS, size=width, replace=False))
            near = [_near(sketches, new, one, other, limit) for one, other in _within(codes)]
            found = np.unique(np.concatenate([found, *(i * number + j for i, j in near)]))
    return found // max(1, number), found % max(1, number)


def _near(
    sketches: Sketches, new: NDArray[np.bool_], one: Ints, other: Ints, limit: float
) -> tuple[Ints, Ints]:
    """Of these pairs those with a new one that differ in so many signs at most."""
    kept = new[one] | new[other]
    one, other = one[kept], other[kept]
    distance = np.bitwise_count(sketches[one] ^ sketches[other]).sum(axis=1, dtype=np.int32)
    return one[distance <= limit], other[distance <= limit]


def _width(sketches: Sketches, chance: np.random.Generator) -> int:
    """Signs of a code such that there are about as many codes as vectors among unlike ones."""
    some = chance.integers(len(sketches), size=(2, 4096))
    some = some[:, some[0] != some[1]]
    differ = np.bitwise_count(sketches[some[0]] ^ sketches[some[1]]).sum(axis=1).mean() / BITS
    halving = -math.log1p(-min(0.5, max(0.05, differ)))
    return min(_WIDEST, max(1, round(math.log(len(sketches)) / halving)))


def _codes(octets: NDArray[np.uint8], bits: Ints) -> Sketches:
    """The chosen signs of each sketch as a number; octets are the sketches in columns."""
    codes = np.zeros(octets.shape[1], np.uint64)
    for bit in bits:
        sign = (octets[bit // 8] >> np.uint8(7 - bit % 8)) & np.uint8(1)
        codes = (codes << np.uint64(1)) | sign
    return codes


def _within(codes: Sketches) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of places with the same code: each with the next few of its block, and the first."""
    # One number of code and place sorts ten times faster than the codes by their places.
    joined = np.sort((codes << _PLACE_BITS) | np.arange(len(codes), dtype=np.uint64))
    order = (joined & _PLACE_MASK).astype(np.int64)
    codes = joined >> _PLACE_BITS
    begins = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    lengths = np.diff(np.r_[begins, len(codes)])
    ends = np.repeat(begins + lengths, lengths)
    inside = np.arange(len(codes))
    for distance in range(1, _NEIGHBOURS + 1):
        inside = inside[inside + distance < ends[inside]]
        yield order[inside], order[inside + distance]
    first = np.repeat(begins, lengths)
    far = np.flatnonzero(np.arange(len(codes)) - first > _NEIGHBOURS)
    yield order[first[far]], order[far]
