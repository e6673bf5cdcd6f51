"""Redis killed, paused and silent in the middle of the work; and what the limiter says of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aistack.errors import UnavailableError
from aistack.limits import shared
from aistack.limits.gcra import Decision, Rates
from aistack.limits.limiter import _PROBE, REST_S, Limiter
from aistack.monitoring.metrics import Metrics
from aistack.settings.schema import RateLimits, Redis

pytestmark = pytest.mark.anyio
CLIENTS = 20
LIMIT = 50


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy for a moment is no silent Redis."""
    monkeypatch.setattr(shared, "LONGEST_WAIT_S", 1.0)


def sample(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def limiter_at(
    url: str | None, secret: bytes = b"secret", **settings: Any
) -> AsyncIterator[tuple[Limiter, Metrics]]:
    metrics = Metrics()
    values = {"per_minute": 100_000, "per_hour": LIMIT, **settings}
    limiter = Limiter(RateLimits(**values), Redis(url=url, timeout_s=1.0), metrics, secret)
    try:
        yield limiter, metrics
    finally:
        await limiter.close()


class Load:
    """Clients that ask all the time; notes when each began, how long it took, if it passed."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.asked: list[tuple[float, float, bool]] = []

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._ask()) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for done in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(done, asyncio.CancelledError):
                    raise done

    async def until_refused(self) -> None:
        deadline = time.monotonic() + 30
        while not self.asked or self.asked[-1][2]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    async def _ask(self) -> None:
        while True:
            started = time.monotonic()
            decision = await self.limiter.take("key:a")
            self.asked.append((started, time.monotonic() - started, decision.allowed))
            await asyncio.sleep(0.005)


class Watched:
    """Stands before what asks Redis: notes when each asked, and who was left without an answer."""

    def __init__(self, limiter: Limiter) -> None:
        assert limiter._shared is not None
        self._take = limiter._shared.take
        self.asked: list[tuple[float, str]] = []
        self.failed: list[str] = []
        limiter._shared.take = self.take  # type: ignore[method-assign]

    async def take(self, client: str, rates: Rates, weight: int = 1) -> Decision:
        self.asked.append((time.monotonic(), client))
        try:
            return await self._take(client, rates, weight)
        except UnavailableError:
            self.failed.append(client)
            raise


class Proxy:
    """TCP before a Redis; when ``silent`` it takes everything and says nothing, connects too."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.silent = False
        self.url = ""
        self.connections: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield self
        finally:
            server.close()
            for task in self.connections:
                task.cancel()
            await asyncio.gather(*self.connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self.connections.add(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(self.path)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                if not self.silent:
                    sink.write(data)

        tasks = [
            asyncio.create_task(pump(reader, up_writer)),
            asyncio.create_task(pump(up_reader, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for sink in (writer, up_writer):
                sink.close()
                with contextlib.suppress(OSError):
                    await sink.wait_closed()


async def settle(limiter: Limiter, *, degraded: bool) -> None:
    deadline = time.monotonic() + 30
    while limiter.degraded != degraded:
        assert time.monotonic() < deadline, f"not degraded == {degraded} in time"
        await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed", "paused", "silent"])
async def test_redis_goes_away_in_the_middle_and_comes_back(own_redis, secret, fault) -> None:
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(str(own_redis.path)).run())
        url = proxy.url if fault == "silent" else own_redis.url
        limiter, metrics = await stack.enter_async_context(limiter_at(url, secret))
        watched, load = Watched(limiter), Load(limiter)
        await stack.enter_async_context(load.run())
        await load.until_refused()
        await settle(limiter, degraded=False)
        watched.failed.clear()

        broken = time.monotonic()
        if fault == "killed":
            own_redis.kill()
        elif fault == "paused":
            own_redis.pause()
        else:
            proxy.silent = True
        await settle(limiter, degraded=True)
        noticed = time.monotonic()
        await asyncio.sleep(REST_S * 1.5)
        assert sample(metrics, "aistack_rate_limiter_degraded") == 1

        mending = time.monotonic()
        if fault == "killed":
            own_redis.start()
        elif fault == "paused":
            own_redis.resume()
        else:
            proxy.silent = False
        await settle(limiter, degraded=False)
        assert sample(metrics, "aistack_rate_limiter_degraded") == 0
        assert (await limiter.take("key:b")).allowed

    # Each client waits for the silent Redis once at most, and nobody after it was noticed.
    clients = [name for name in watched.failed if name != _PROBE]
    assert 1 <= len(clients) <= CLIENTS
    assert {name for at, name in watched.asked if noticed < at < mending} == {_PROBE}
    away = [passed for began, _, passed in load.asked if broken <= began < mending]
    assert len(away) > CLIENTS
    assert sum(away) <= LIMIT, "more than the local limit"
    assert max(took for _, took, _ in load.asked) < 5, "somebody waited too long"


async def test_a_redis_that_is_away_from_the_start() -> None:
    async with limiter_at("redis://127.0.0.1:1/0") as (limiter, metrics):
        started = time.monotonic()
        found = [await limiter.take("key:a") for _ in range(LIMIT + 10)]
        assert time.monotonic() - started < 5
        assert sum(d.allowed for d in found) == LIMIT
        assert limiter.degraded
        assert sample(metrics, "aidb_rate_limit_rejections_total", scope="hour") == 10


async def test_a_redis_that_takes_no_writes_is_away(own_redis, secret) -> None:
    import redis as redis_sync

    client = redis_sync.Redis.from_url(own_redis.url)
    async with limiter_at(own_redis.url, secret) as (limiter, _):
        assert (await limiter.take("key:a")).allowed
        client.config_set("min-replicas-to-write", 1)
        assert (await limiter.take("key:a")).allowed
        assert limiter.degraded
        await asyncio.sleep(REST_S * 1.5)
        assert limiter.degraded, "it answers PING, but that is not enough"
        client.config_set("min-replicas-to-write", 0)
        await settle(limiter, degraded=False)
    client.close()


async def test_deny_refuses_while_redis_is_away(own_redis, secret) -> None:
    async with limiter_at(own_redis.url, secret, without_redis="deny") as (limiter, metrics):
        assert (await limiter.take("key:a")).allowed
        own_redis.kill()
        for _ in range(3):
            with pytest.raises(UnavailableError) as raised:
                await limiter.take("key:a")
            assert raised.value.retry_after_s == 2
        assert sample(metrics, "aidb_rate_limit_rejections_total", scope="degraded") == 3
        own_redis.start()
        await settle(limiter, degraded=False)
        assert (await limiter.take("key:a")).allowed


async def test_single_routes_can_be_denied() -> None:
    url = "redis://127.0.0.1:1/0"
    async with limiter_at(url, deny_without_redis=("POST /v1/keys",)) as (limiter, _):
        assert (await limiter.take("key:a", route="POST /v1/query")).allowed
        with pytest.raises(UnavailableError):
            await limiter.take("key:a", route="POST /v1/keys")


async def test_without_a_redis_nothing_is_degraded() -> None:
    async with limiter_at(None, without_redis="deny") as (limiter, metrics):
        found = [await limiter.take("key:a", 10) for _ in range(6)]
        assert [d.allowed for d in found] == [True] * 5 + [False]
        assert (await limiter.take("key:b", 10)).allowed, "each client has its own"
        assert not limiter.degraded
        assert sample(metrics, "aistack_rate_limiter_degraded") == 0
        assert sample(metrics, "aidb_rate_limit_seconds_count") == 7
        assert 0 < sample(metrics, "aidb_rate_limit_seconds_sum") < 7


async def test_weights_count_in_redis_too(own_redis, secret) -> None:
    async with limiter_at(own_redis.url, secret) as (limiter, _):
        found = [await limiter.take("key:a", 10) for _ in range(6)]
        assert [d.allowed for d in found] == [True] * 5 + [False]
        assert not limiter.degraded


async def test_a_client_may_have_rates_of_its_own() -> None:
    async with limiter_at(None) as (limiter, _):
        own = Rates.of(2, 1000)
        found = [await limiter.take("key:a", override=own) for _ in range(3)]
        assert [d.allowed for d in found] == [True, True, False]
        assert found[2].rate == own.short
