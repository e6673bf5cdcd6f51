from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import redis as redis_sync
from hypothesis import HealthCheck, given, settings, strategies as st

from aistack.errors import UnavailableError
from aistack.limits import shared
from aistack.limits.gcra import NEW, Rates, decide
from aistack.limits.shared import PREFIX, SharedLimiter
from aistack.settings.schema import Redis

pytestmark = pytest.mark.anyio
WORKERS = 3
STEP_US = 15_625  # 1/64 s


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided is looked at here, not how soon: a busy machine is no silent Redis."""
    monkeypatch.setattr(shared, "LONGEST_WAIT_S", 30.0)


def at(url: str) -> Redis:
    return Redis(url=url, timeout_s=30)


@pytest.fixture
async def limiter(redis_server: str, secret: bytes):
    limiter = SharedLimiter(at(redis_server), secret)
    yield limiter
    await limiter.close()


async def test_it_counts_down_and_refuses(limiter: SharedLimiter) -> None:
    rates = Rates.of(3, 1000)
    found = [await limiter.take("a", rates) for _ in range(4)]
    assert [d.allowed for d in found] == [True, True, True, False]
    assert [d.remaining for d in found] == [2, 1, 0, 0]
    assert found[3].rate == rates.short
    assert 10 < found[3].retry_after_s <= 20
    assert (await limiter.take("b", rates)).allowed


async def test_both_rates_hold(limiter: SharedLimiter) -> None:
    rates = Rates.of(1000, 2)
    found = [await limiter.take("a", rates) for _ in range(3)]
    assert [d.allowed for d in found] == [True, True, False]
    assert found[2].rate == rates.long
    assert 1770 < found[2].retry_after_s <= 1800


asked = st.lists(st.tuples(st.integers(-64 * 30, 64 * 30), st.integers(1, 5)), max_size=25)


# The script counts in whole microseconds, and these are intervals of so many: of others it may give
# one request less than the function, which counts in fractions of seconds.
shorts = st.sampled_from([n for n in range(1, 13) if 60_000_000 % n == 0])
longs = st.sampled_from([n for n in range(1, 41) if 3_600_000_000 % n == 0])


@given(short=shorts, long=longs, asked=asked)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_script_decides_as_the_function(redis_server: str, short, long, asked) -> None:
    """Also with a clock that jumps: the test tells the script its time."""
    client = redis_sync.Redis.from_url(redis_server)
    script = shared.SCRIPT.replace("redis.call('TIME')", "{ARGV[6], ARGV[7]}")
    script = script.replace("'PX', math.max(1, math.ceil(ahead / 1000))", "'EX', 1000")
    client.delete("model")
    rates, state = Rates.of(short, long), NEW
    now = 1_700_000_000_000_000
    for ticks, weight in asked:
        now += ticks * STEP_US
        arguments = (weight, short, 60_000_000, long, 3_600_000_000, now // 10**6, now % 10**6)
        allowed, tight, left, more, retry = client.eval(script, 1, "model", *arguments)
        # Relative to a moment near by: the function's floats are seconds, not microseconds.
        expected, state = decide(rates, state, (now - 1_700_000_000_000_000) / 1e6, weight)
        assert (bool(allowed), left) == (expected.allowed, expected.remaining)
        if expected.allowed or expected.rate == rates[tight - 1]:
            assert abs(more / 1e6 - expected.next_s) < 1e-5
        assert abs(retry / 1e6 - expected.retry_after_s) < 1e-5
    client.close()


async def test_redis_learns_no_address_and_forgets(redis_server: str, secret: bytes) -> None:
    limiter = SharedLimiter(at(redis_server), secret)
    client = redis_sync.Redis.from_url(redis_server)
    before = set(client.keys(PREFIX + "*"))
    await limiter.take("address:203.0.113.9", Rates.of(60, 1000))
    (key,) = set(client.keys(PREFIX + "*")) - before
    assert b"203.0.113.9" not in key
    assert len(client.get(key)) == 16
    assert 0 < client.pttl(key) <= 3600
    # Another secret, another key: nobody without it can tell who a key belongs to.
    other = SharedLimiter(at(redis_server), b"other" + secret)
    await other.take("address:203.0.113.9", Rates.of(60, 1000))
    assert len(set(client.keys(PREFIX + "*")) - before) == 2
    await limiter.close()
    await other.close()
    client.close()


async def test_it_is_one_call(own_redis, secret: bytes) -> None:
    limiter = SharedLimiter(at(own_redis.url), secret)
    rates = Rates.of(60, 1000)
    await limiter.take("a", rates)
    client = redis_sync.Redis.from_url(own_redis.url)
    client.config_resetstat()
    for _ in range(10):
        await limiter.take("a", rates)
    calls = {name: s["calls"] for name, s in client.info("commandstats").items()}
    assert calls.pop("cmdstat_evalsha") == 10
    assert "cmdstat_eval" not in calls
    client.script_flush()
    assert (await limiter.take("a", rates)).allowed
    found = await asyncio.gather(*(limiter.take("b", rates) for _ in range(100)))
    assert sum(d.allowed for d in found) == 60
    client.script_flush()
    found = await asyncio.gather(*(limiter.take("c", rates) for _ in range(100)))
    assert sum(d.allowed for d in found) == 60
    await limiter.close()
    client.close()


async def test_a_request_that_goes_away_takes_nobody_with_it(limiter: SharedLimiter) -> None:
    rates = Rates.of(60, 1000)
    tasks = [asyncio.create_task(limiter.take("a", rates)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(d, asyncio.CancelledError) for d in found[::2])
    assert all(d.allowed for d in found[1::2])
    assert (await limiter.take("b", rates)).remaining == 59


async def test_closing_tells_who_waits(own_redis, secret: bytes) -> None:
    limiter = SharedLimiter(at(own_redis.url), secret)
    rates = Rates.of(60, 1000)
    await limiter.take("a", rates)
    own_redis.pause()
    tasks = [asyncio.create_task(limiter.take("a", rates)) for _ in range(5)]
    await asyncio.sleep(0.02)
    tasks.append(asyncio.create_task(limiter.take("a", rates)))
    await asyncio.sleep(0.02)
    await limiter.close()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, UnavailableError) for error in found)


def test_exactly_the_allowed_number_passes_of_all_workers(redis_server: str, secret: bytes) -> None:
    """5,000 requests at once from three processes; of 100 an hour one comes back in 36 s."""
    script = Path(__file__).with_name("worker.py")
    command = [sys.executable, str(script), redis_server, secret.hex(), "1667", "100000", "100"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(WORKERS)
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        started = time.monotonic()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        passed = [int(worker.communicate(timeout=100)[0]) for worker in workers]
        back = (time.monotonic() - started) // 36
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(10)
    assert 100 <= sum(passed) <= 100 + back


async def test_a_burst_at_the_edge_of_a_window_in_real_time(limiter: SharedLimiter) -> None:
    """Rates small enough to see: 120 a minute are 2 a second."""
    rates = Rates.of(120, 100_000)
    started = time.monotonic()
    passed, asked, empty = [], [], None
    while (elapsed := time.monotonic() - started) < (empty or elapsed) + 2:
        asked.append(elapsed)
        if (await limiter.take("a", rates)).allowed:
            passed.append(elapsed)
        else:
            empty = empty or elapsed
        await asyncio.sleep(0.001)
    assert 120 <= len(passed) <= 120 + 2 * elapsed + 1
    late = [t for t in passed if empty is not None and t > empty]
    # After the burst: the rate, with what came back while the machine did other things.
    pause_s = max(after - before for before, after in pairwise(asked))
    for start in late:
        assert sum(start <= t < start + 1 for t in late) <= 3 + 2 * pause_s
