"""Measures our rate limiter beside the libraries that it could be: one process, and Redis.

    python benchmarks/limiter.py [--rounds 7] [--json]

Needs the package, `limits` and `throttled-py`, in an environment of their own, and redis-server in
the PATH; the server is started for the run, on a unix socket. All cases take turns within a round,
so that a noisy machine hurts all; the median of the rounds is told. Every request is let through:
5,000 clients ask 60 a minute and 1,000 an hour at most.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import limits
import limits.aio
import redis.asyncio as redis_asyncio
import throttled
import throttled.asyncio
import uvloop

from aistack.limits import shared
from aistack.limits.gcra import LocalLimiter, Rates
from aistack.limits.shared import SharedLimiter
from aistack.settings.schema import Redis

CLIENTS = [f"key:{number:012x}" for number in range(5000)]
LOCAL, REMOTE = 20_000, 3_000
"""Requests of one case in one round."""
TASKS = 20
RATES = Rates.of(60, 1000)
MINUTE, HOUR = limits.RateLimitItemPerMinute(60), limits.RateLimitItemPerHour(1000)
Ask = Callable[[str], Any]
AskRedis = Callable[[str], Awaitable[Any]]


class Case(NamedTuple):
    """One thing to measure."""

    what: str
    rates: int
    ask: Ask


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="rounds [7]")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    with redis_server() as url:
        rows = uvloop.run(measure(url, args.rounds))
    found = {
        "versions": {name: version(name) for name in ("limits", "throttled-py", "redis")},
        "load_average": os.getloadavg()[0],
        "rows": rows,
    }
    print(json.dumps(found, indent=2) if args.json else table(found))


async def measure(url: str, rounds: int) -> list[dict[str, Any]]:
    """All rows: where, what, rates, us and requests a second."""
    times: dict[tuple[str, str, int], list[float]] = {}
    remote, close = remote_cases(url)
    for _ in range(rounds):
        # New each round, or the clients would run out of their allowance.
        for case in local_cases():
            key = ("process", case.what, case.rates)
            times.setdefault(key, []).append(time_local(case.ask))
        for place, tasks in (("Redis, one after another", 1), (f"Redis, {TASKS} at once", TASKS)):
            for case in remote:
                key = (place, case.what, case.rates)
                times.setdefault(key, []).append(await time_remote(case.ask, tasks))
        await flush(url)
    await close()
    return [
        {
            "where": where,
            "what": what,
            "rates": rates,
            "us": round(statistics.median(took) * 1e6, 2),
            "per_s": round(1 / statistics.median(took)),
        }
        for (where, what, rates), took in times.items()
    ]


def local_cases() -> list[Case]:
    """Everything that decides in this process."""
    cases = [Case("dict[key] += 1", 0, counter())]
    own = LocalLimiter(10_000)
    cases.append(Case("own GCRA", 2, lambda key: own.take(key, RATES)))
    for name, kind in (
        ("limits, fixed window", limits.strategies.FixedWindowRateLimiter),
        ("limits, sliding window counter", limits.strategies.SlidingWindowCounterRateLimiter),
        ("limits, moving window", limits.strategies.MovingWindowRateLimiter),
    ):
        one, two = kind(limits.storage.MemoryStorage()), kind(limits.storage.MemoryStorage())
        cases.append(Case(name, 1, lambda key, one=one: one.hit(MINUTE, key)))
        cases.append(
            Case(name, 2, lambda key, two=two: two.hit(MINUTE, key) and two.hit(HOUR, key))
        )
    for name, kind in (("throttled, GCRA", "gcra"), ("throttled, token bucket", "token_bucket")):
        # Its store forgets all but 1,024 keys unless told otherwise.
        options = {"MAX_SIZE": 20_000}
        one, minute, hour = (
            throttled.Throttled(
                using=kind, quota=quota, store=throttled.MemoryStore(options=options)
            )
            for quota in (throttled.per_min(60), throttled.per_min(60), throttled.per_hour(1000))
        )
        cases.append(Case(name, 1, one.limit))
        cases.append(
            Case(name, 2, lambda key, a=minute, b=hour: not a.limit(key).limited and b.limit(key))
        )
    return cases


def remote_cases(url: str) -> tuple[list[Case], Callable[[], Awaitable[None]]]:
    """Everything that asks Redis, and how to close it."""
    own = SharedLimiter(Redis(url=url, timeout_s=0.25), b"secret")
    bare = redis_asyncio.Redis.from_url(url)
    arguments = (1, 60, 60_000_000, 1000, 3_600_000_000)

    async def evalsha(key: str) -> Any:
        return await bare.evalsha(shared._SHA, 1, "bare:" + key, *arguments)  # noqa: SLF001

    cases = [
        Case("own GCRA", 2, lambda key: own.take(key, RATES)),
        Case("bare EVALSHA of our script", 2, evalsha),
    ]
    uri = "async+redis+" + url
    for name, kind in (
        ("limits, sliding window counter", limits.aio.strategies.SlidingWindowCounterRateLimiter),
        ("limits, moving window", limits.aio.strategies.MovingWindowRateLimiter),
    ):
        one, two = (
            kind(
                limits.storage.storage_from_string(uri, implementation="redispy", key_prefix=prefix)
            )
            for prefix in (f"{name} 1", f"{name} 2")
        )

        async def both(key: str, two: Any = two) -> bool:
            return await two.hit(MINUTE, key) and await two.hit(HOUR, key)

        cases.append(Case(name, 1, lambda key, one=one: one.hit(MINUTE, key)))
        cases.append(Case(name, 2, both))
    numbers = count()
    one, minute, hour = (
        throttled.asyncio.Throttled(
            using="gcra",
            quota=quota,
            store=throttled.asyncio.RedisStore(server=url),
            key_prefix=f"throttled{next(numbers)}",
        )
        for quota in (throttled.per_min(60), throttled.per_min(60), throttled.per_hour(1000))
    )

    async def pair(key: str) -> Any:
        return not (await minute.limit(key)).limited and await hour.limit(key)

    cases += [Case("throttled, GCRA", 1, one.limit), Case("throttled, GCRA", 2, pair)]

    async def close() -> None:
        await own.close()
        await bare.aclose()

    return cases, close


def counter() -> Ask:
    """The least that any limiter could do."""
    counts = dict.fromkeys(CLIENTS, 0)

    def add(key: str) -> None:
        counts[key] += 1

    return add


def time_local(ask: Ask) -> float:
    """Seconds a request."""
    started = time.perf_counter()
    for number in range(LOCAL):
        ask(CLIENTS[number % len(CLIENTS)])
    return (time.perf_counter() - started) / LOCAL


async def time_remote(ask: AskRedis, tasks: int) -> float:
    """Seconds a request, with so many waiting at a time."""
    numbers = iter(range(REMOTE))

    async def work() -> None:
        for number in numbers:
            await ask(CLIENTS[number])

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(tasks)))
    return (time.perf_counter() - started) / REMOTE


async def flush(url: str) -> None:
    """Forget all clients."""
    client = redis_asyncio.Redis.from_url(url)
    await client.flushall()
    await client.aclose()


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of our own; yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="aistack-redis-"))
    path = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(str(path)) == 0:
                    break
            time.sleep(0.02)
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    named = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines = [f"{named}; load average {found['load_average']:.1f}", ""]
    lines += ["| where | what | rates | us | requests/s |", "|---|---|--:|--:|--:|"]
    for row in found["rows"]:
        lines.append(
            f"| {row['where']} | {row['what']} | {row['rates'] or '-'} | {row['us']:,} "
            f"| {row['per_s']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
