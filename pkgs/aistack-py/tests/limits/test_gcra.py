from __future__ import annotations

from fractions import Fraction

from hypothesis import given, strategies as st

from aistack.limits.gcra import NEW, LocalLimiter, Rate, Rates, decide

STEP = Fraction(1, 64)
"""Times are multiples of it: exact as floats, and far above the tolerance between any two."""
times = st.lists(st.integers(0, 64 * 90), min_size=1, max_size=60)
limits = st.integers(1, 12)


class Bucket:
    """The same rule in its other form, exactly: tokens that come back at a constant rate."""

    def __init__(self, limit: int, period: int) -> None:
        self.limit, self.period = limit, period
        self.tokens = Fraction(limit)
        self.at = Fraction(0)

    def refill(self, now: Fraction) -> None:
        self.tokens += (now - self.at) * self.limit / self.period
        self.tokens = min(self.tokens, Fraction(self.limit))
        self.at = now

    def cost(self, weight: int) -> int:
        return min(weight, self.limit)


def rates_of(short: int, long: int) -> Rates:
    return Rates(Rate.of("minute", short, 8.0), Rate.of("hour", long, 60.0))


requests = st.lists(st.tuples(st.integers(0, 64 * 6), st.integers(1, 5)), max_size=120)


@given(short=limits, long=st.integers(1, 40), asked=requests)
def test_it_decides_as_an_exact_token_bucket(short, long, asked) -> None:
    rates = rates_of(short, long)
    buckets = [Bucket(short, 8), Bucket(long, 60)]
    state, now = NEW, Fraction(0)
    for ticks, weight in asked:
        now += ticks * STEP
        for bucket in buckets:
            bucket.refill(now)
        expected = all(b.tokens >= b.cost(weight) for b in buckets)
        waits = [
            max(Fraction(0), (b.cost(weight) - b.tokens) * b.period / b.limit) for b in buckets
        ]
        decision, state = decide(rates, state, float(now), weight)
        assert decision.allowed == expected
        if expected:
            for bucket in buckets:
                bucket.tokens -= bucket.cost(weight)
            assert decision.remaining == min(int(b.tokens) for b in buckets)
            assert decision.next_s > 0
        else:
            assert abs(decision.retry_after_s - float(max(waits))) < 1e-6


@given(limit=limits, ticks=times, window=st.integers(0, 64 * 40))
def test_no_window_lets_more_through_than_the_burst_and_the_rate(limit, ticks, window) -> None:
    rates = rates_of(limit, 10**6)
    state, passed = NEW, []
    for at in sorted(ticks):
        now = at * STEP
        decision, state = decide(rates, state, float(now))
        if decision.allowed:
            passed.append(now)
    length = window * STEP
    for start in passed:
        inside = sum(start <= t <= start + length for t in passed)
        assert inside <= limit + length * limit / 8


def test_rates_are_of_a_minute_and_an_hour() -> None:
    short, long = Rate("minute", 60, 60.0, 1.0), Rate("hour", 1000, 3600.0, 3.6)
    assert Rates.of(60, 1000) == (short, long)
    assert Rates.of(5).long == Rate("hour", 300, 3600.0, 12.0)


def test_what_a_decision_says() -> None:
    """Rate, remaining, seconds until more remains, seconds until the same passes, passed or not."""
    rates = Rates.of(2, 3)
    state, said = NEW, []
    for now in (0.0, 0.0, 0.0, 60.0, 60.0):
        decision, state = decide(rates, state, now)
        said.append(decision)
    assert said == [
        (rates.short, 1, 30, 0, True),
        (rates.short, 0, 30, 30, True),
        (rates.short, 0, 30, 30, False),
        (rates.long, 0, 1140, 1140, True),
        (rates.long, 0, 1140, 1140, False),
    ]


def test_what_is_left_for_a_lighter_request_is_told() -> None:
    for rates, tight, wait in ((Rates.of(4, 1000), 0, 15), (Rates.of(100, 4), 1, 900)):
        _, state = decide(rates, NEW, 0.0, 3)
        refused, state = decide(rates, state, 0.0, 2)
        assert refused == (rates[tight], 1, wait, wait, False)
        assert decide(rates, state, 0.0)[0].allowed


def test_of_two_rates_as_tight_the_short_one_is_named() -> None:
    rates = Rates(Rate.of("minute", 2, 60.0), Rate.of("hour", 2, 60.0))
    state = NEW
    for _ in range(3):
        decision, state = decide(rates, state, 0.0)
        assert decision.rate == rates.short


def test_there_is_no_burst_at_the_edge_of_a_minute() -> None:
    limiter_at = [59.99]
    limiter = LocalLimiter(100, lambda: limiter_at[0])
    rates = Rates.of(60, 1000)
    before = sum(limiter.take("a", rates).allowed for _ in range(60))
    limiter_at[0] = 60.01  # a window of the clock's minutes would start anew here
    after = sum(limiter.take("a", rates).allowed for _ in range(60))
    assert (before, after) == (60, 0)


@given(short=limits, long=limits, asked=requests, extra=st.integers(1, 30))
def test_a_refused_request_changes_nothing(short, long, asked, extra) -> None:
    rates = rates_of(short, long)
    state, now = NEW, 0.0
    for ticks, weight in asked:
        now += float(ticks * STEP)
        decision, state = decide(rates, state, now, weight)
        if not decision.allowed:
            for _ in range(extra):
                again, state_again = decide(rates, state, now, weight)
                assert (again, state_again) == (decision, state)
            later = now + decision.retry_after_s
            assert decide(rates, state, later, weight)[0].allowed
            assert not decide(rates, state, now + decision.retry_after_s * 0.99, weight)[0].allowed


@given(short=limits, long=limits, asked=requests, weight=st.integers(1, 5))
def test_who_waits_longer_or_asks_less_passes_as_well(short, long, asked, weight) -> None:
    rates = rates_of(short, long)
    state, now = NEW, 0.0
    for ticks, spent in asked:
        now += float(ticks * STEP)
        _, state = decide(rates, state, now, spent)
    if decide(rates, state, now, weight + 1)[0].allowed:
        assert decide(rates, state, now, weight)[0].allowed
        assert decide(rates, state, now + 1.5, weight + 1)[0].allowed


@given(short=limits, long=limits, asked=requests, back=st.floats(0, 1e9))
def test_a_clock_that_went_back_costs_at_most_a_period(short, long, asked, back) -> None:
    rates = rates_of(short, long)
    state, now = NEW, 0.0
    for ticks, weight in asked:
        now += float(ticks * STEP)
        _, state = decide(rates, state, now, weight)
    now -= back
    decision, state = decide(rates, state, now)
    assert decision.retry_after_s <= 60 + 1e-6
    # Asking all the while does not push the end away.
    passed = 0
    for part in range(11):
        decision, state = decide(rates, state, now + part * 6)
        passed += decision.allowed
    assert passed


def test_a_clock_that_goes_forward_forgives() -> None:
    rates = Rates.of(2, 2)
    _, state = decide(rates, NEW, 0.0, 2)
    assert not decide(rates, state, 0.0)[0].allowed
    assert decide(rates, state, 1e9)[0] == decide(rates, NEW, 1e9)[0]


def test_a_request_heavier_than_the_limit_takes_all_of_it() -> None:
    rates = Rates.of(10, 1000)
    decision, state = decide(rates, NEW, 0.0, 34)
    assert decision.allowed
    assert decision.remaining == 0
    refused, _ = decide(rates, state, 30.0, 34)
    assert not refused.allowed
    assert abs(refused.retry_after_s - 30) < 1e-6


def test_the_hour_holds_where_the_minute_does_not() -> None:
    at = [0.0]
    limiter = LocalLimiter(100, lambda: at[0])
    rates = Rates.of(60, 1000)
    passed = 0
    for second in range(3600):
        at[0] = float(second)
        passed += limiter.take("a", rates).allowed
    assert 1000 + 900 <= passed <= 2000  # the burst, and what comes back in an hour
    decision = limiter.take("a", rates)
    assert not decision.allowed
    assert decision.rate.name == "hour"


@given(
    asked=st.lists(st.integers(0, 6), min_size=20, max_size=100),
    clients=st.integers(2, 5),
)
def test_the_longest_silent_client_is_forgotten(asked, clients) -> None:
    limiter = LocalLimiter(clients, lambda: 0.0)
    rates = Rates.of(1, 1000)
    last: list[int] = []
    known: set[int] = set()
    for name in asked:
        decision = limiter.take(str(name), rates)
        assert decision.allowed == (name not in known)
        last = [n for n in last if n != name] + [name]
        known = set(last[-clients:])
        assert len(limiter) == len(known)
