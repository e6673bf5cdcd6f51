"""GCRA, the generic cell rate algorithm (ITU-T I.371), over two rates in one decision.

A client's state is one number a rate: the time at which all of its allowance is back (the
theoretical arrival time). A request of weight 1 moves it on by period / limit. A request passes if,
after it, that time is at most one period away. So a client may send its whole allowance at once,
and gets it back evenly: no instant renews all of it, as the edge of a fixed window does.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

Clock = Callable[[], float]
"""Gives seconds since any fixed moment."""

TOLERANCE_S = 1e-6
"""What rounding may add up to before it counts: a request at the very moment is not too early."""


class Rate(NamedTuple):
    """At most ``limit`` at once, and ``limit`` in each ``period_s`` in the long run."""

    name: str
    limit: int
    period_s: float
    cost_s: float
    """Seconds after which a weight of 1 is given back."""

    @classmethod
    def of(cls, name: str, limit: int, period_s: float) -> "Rate":
        """A rate; ``limit`` is at least 1."""
        return cls(name, limit, period_s, period_s / limit)


class Rates(NamedTuple):
    """Two rates that hold at once."""

    short: Rate
    long: Rate

    @classmethod
    def of(cls, per_minute: int, per_hour: int | None = None) -> "Rates":
        """So many a minute and an hour; without the latter, the minute alone decides."""
        hour = 60 * per_minute if per_hour is None else per_hour
        return cls(Rate.of("minute", per_minute, 60.0), Rate.of("hour", hour, 3600.0))


State = tuple[float, float]
"""When each rate's allowance is all back, in seconds of the clock."""

NEW: State = (float("-inf"), float("-inf"))
"""A client not seen before."""


class Decision(NamedTuple):
    """What became of a request."""

    rate: Rate
    """The tighter rate: the one that refuses longer, or that has less left."""
    remaining: int
    """Weight that this rate still lets through now."""
    next_s: float
    """Seconds until more remains; for a refused request the same as ``retry_after_s``."""
    retry_after_s: float
    """Seconds until the same request would pass; 0: it would pass now."""
    allowed: bool


def decide(rates: Rates, state: State, now: float, weight: int = 1) -> tuple[Decision, State]:
    """Decide about one request; it passes if both rates let it pass.

    A weight above a rate's limit counts as the limit: else such a request would never pass, however
    long its sender waits.

    Args:
        rates: what holds.
        state: what the last decision about this client gave, or `NEW`.
        now: the clock.
        weight: at least 1.

    Returns:
        The decision and the new state. A refused request leaves the state as it was, so asking
        again never makes the wait longer. One thing is mended: a state further ahead than a period
        can only come from a clock that went back since, and is set to one period.
    """
    # Written out for two rates: a loop over any number takes twice as long.
    short, long = rates
    _, limit, period, cost = short
    _, long_limit, long_period, long_cost = long
    back, long_back = state
    top, long_top = now + period, now + long_period
    if back > top + TOLERANCE_S:
        back = top
    if long_back > long_top + TOLERANCE_S:
        long_back = long_top
    step = cost * weight if weight < limit else period
    long_step = long_cost * weight if weight < long_limit else long_period
    moved = back + step if back > now else now + step
    long_moved = long_back + long_step if long_back > now else now + long_step
    free, long_free = top - moved, long_top - long_moved
    if free < -TOLERANCE_S or long_free < -TOLERANCE_S:
        if free <= long_free:
            rate, wait, left = short, -free, int((free + step + TOLERANCE_S) / cost)
        else:
            rate = long
            wait, left = -long_free, int((long_free + long_step + TOLERANCE_S) / long_cost)
        return Decision(rate, left, wait, wait, allowed=False), (back, long_back)
    retry, long_retry = step - free, long_step - long_free
    if long_retry > retry:
        retry = long_retry
    if retry <= TOLERANCE_S:
        retry = 0.0
    left = int((free + TOLERANCE_S) / cost)
    long_left = int((long_free + TOLERANCE_S) / long_cost)
    if left <= long_left:
        decision = Decision(short, left, (left + 1) * cost - free, retry, allowed=True)
    else:
        more = (long_left + 1) * long_cost - long_free
        decision = Decision(long, long_left, more, retry, allowed=True)
    return decision, (moved, long_moved)


class LocalLimiter:
    """The state of many clients in this process; the longest silent is forgotten first.

    Args:
        clients: most clients to remember.
        clock: monotonic, or `decide` mends what it can.
    """

    def __init__(self, clients: int, clock: Clock = time.monotonic) -> None:
        self._clients = clients
        self._clock = clock
        self._states: OrderedDict[str, State] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def take(self, client: str, rates: Rates, weight: int = 1) -> Decision:
        """Decide about one request of a client."""
        states = self._states
        decision, states[client] = decide(rates, states.get(client, NEW), self._clock(), weight)
        states.move_to_end(client)  # a refused one too: it is not silent
        if len(states) > self._clients:
            states.popitem(last=False)
        return decision
