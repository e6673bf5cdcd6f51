"""The value score: what an interaction or a solution is worth keeping, 0 to 1.

    value = sum of weight * part, with weights that add up to 1

Each part is in [0,1], and the score never falls when a part rises. All functions are pure.
"""

import math
import re

from msgspec import Struct

from aistack.settings.schema import Weights

_LONG_TERMS = 200
"""Terms of an answer that counts as long."""
_LONG_STEPS = 8
"""Steps of an answer that counts as a procedure."""
_STEP = re.compile(r"^\s*(?:[-*+]\s|\d+[.)]\s|\$\s|#+\s)", re.MULTILINE)
_FENCED = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HALF_REUSED = 2.0
"""Returns at which a solution's reusability is one half."""
_SERVED = 0.25
"""What being served counts, against coming back with a good outcome: weaker evidence."""


class Parts(Struct, frozen=True):
    """The five parts of a score, each in [0,1]."""

    outcome: float
    feedback: float
    reusability: float
    complexity: float
    novelty: float


class Counters(Struct, frozen=True, kw_only=True):
    """What is known of a solution from the interactions that belong to it."""

    successes: int = 0
    partials: int = 0
    failures: int = 0
    feedback_sum: float = 0.0
    feedback_count: int = 0
    uses: int = 0


def score(parts: Parts, weights: Weights) -> float:
    """The weighted mean of the parts; weights need not add up to 1, only to more than 0."""
    pairs = [(getattr(weights, name), getattr(parts, name)) for name in Parts.__struct_fields__]
    total = math.fsum(weight for weight, _ in pairs)
    mean = math.fsum(weight / total * _unit(part) for weight, part in pairs)
    return _unit(mean)  # rounding could pass 1 by a bit


def outcome_part(counters: Counters) -> float:
    """The share of good outcomes; a partial one counts half. None known: 0."""
    known = counters.successes + counters.partials + counters.failures
    return (counters.successes + counters.partials / 2) / known if known else 0.0


def feedback_part(counters: Counters) -> float:
    """The mean feedback, from [-1,1] to [0,1]; 0.5 without any."""
    if counters.feedback_count == 0:
        return 0.5
    return _unit((counters.feedback_sum / counters.feedback_count + 1) / 2)


def reusability_part(counters: Counters) -> float:
    """How often the same problem came back and went well, r / (r + 2).

    r counts good outcomes after the first, and a quarter of the times it was served.
    """
    again = max(0, counters.successes + counters.partials - 1)
    returns = again + _SERVED * counters.uses
    return returns / (returns + _HALF_REUSED)


def complexity_part(answer: str, terms: int) -> float:
    """How much work the answer saves: half by its terms (of 200), half by its steps (of 8).

    Steps are list items, headings, and lines inside fenced code.
    """
    code = [line for block in _FENCED.findall(answer) for line in block.splitlines()]
    steps = len(_STEP.findall(_FENCED.sub("", answer))) + sum(bool(line.strip()) for line in code)
    return min(1.0, terms / _LONG_TERMS) / 2 + min(1.0, steps / _LONG_STEPS) / 2


def parts_of(counters: Counters, *, complexity: float, novelty: float) -> Parts:
    """All parts; complexity and novelty are those of the answer when it was first seen."""
    return Parts(
        outcome=outcome_part(counters),
        feedback=feedback_part(counters),
        reusability=reusability_part(counters),
        complexity=_unit(complexity),
        novelty=_unit(novelty),
    )


def combined(have: Counters, minus: Counters, plus: Counters) -> Counters:
    """The counters without some and with others; none falls below what can be."""
    sums = {
        name: max(0, getattr(have, name) - getattr(minus, name) + getattr(plus, name))
        for name in ("successes", "partials", "failures", "feedback_count", "uses")
    }
    feedback = have.feedback_sum - minus.feedback_sum + plus.feedback_sum
    most = sums["feedback_count"]
    return Counters(**sums, feedback_sum=min(most, max(-most, feedback)))


def rescored(before: Parts, counters: Counters, weights: Weights) -> tuple[Parts, float]:
    """The parts and the score of a solution whose counters have changed."""
    parts = parts_of(counters, complexity=before.complexity, novelty=before.novelty)
    return parts, score(parts, weights)


def _unit(number: float) -> float:
    return min(1.0, max(0.0, number))
